"""Iceberg tables on the lake, pinned to a ref.

Metadata always records ``s3a://<repository>/main/…``; a pinned catalog and its file IO open the ref instead. So a
branch copies nothing, a merge rewrites nothing, a plain reader sees ``main`` with no help, and a past commit is read by
its id.

Iceberg calls tables without a catalog server unsafe on object stores. What makes them safe here is lakeFS's "create if
absent", and that everything that knows of it sits behind `tables.Tables`.
"""
