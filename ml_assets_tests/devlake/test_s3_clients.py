"""Real clients against the gateway, with their own ways to sign, to cut bodies into chunks, and to ask again."""

from __future__ import annotations

import io
import os
from pathlib import Path
from urllib.request import urlopen

import boto3
import duckdb
import lakefs
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError
from lakefs.client import Client
from lakefs.exceptions import ConflictException, NotFoundException
from pyarrow.fs import FileSelector, FileType, S3FileSystem

from ml_assets.lib.devlake.server import Endpoint

TABLE = pa.table({"number": range(100_000), "text": [f"row {number}" for number in range(100_000)]})


@pytest.fixture
def boto(endpoint: Endpoint) -> BaseClient:
    """A boto3 client."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        aws_access_key_id=endpoint.access_key_id,
        aws_secret_access_key=endpoint.secret_access_key.get_secret_value(),
        region_name="us-east-1",
        config=Config(
            s3={"addressing_style": "path"},
            signature_version="s3v4",  # the default for presigned URLs is still version 2
            retries={"total_max_attempts": 1},
        ),
    )


@pytest.fixture
def arrow(endpoint: Endpoint) -> S3FileSystem:
    """PyArrow's file system, over the C++ SDK."""
    return S3FileSystem(
        endpoint_override=endpoint.url,
        scheme="http",
        region="us-east-1",
        access_key=endpoint.access_key_id,
        secret_key=endpoint.secret_access_key.get_secret_value(),
    )


@pytest.fixture
def lake(endpoint: Endpoint) -> Client:
    """The official high-level client."""
    secret = endpoint.secret_access_key.get_secret_value()
    return Client(host=endpoint.url, username=endpoint.access_key_id, password=secret)


def test_boto3_signing_as_it_used_to(endpoint: Endpoint, repository: str) -> None:
    """Version 2: objects, parts, lists and deletions, with keys that need quoting; not with another's secret."""

    def client(secret: str) -> BaseClient:
        return boto3.client(
            "s3",
            endpoint_url=endpoint.url,
            aws_access_key_id=endpoint.access_key_id,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, signature_version="s3", retries={"total_max_attempts": 1}),
        )

    boto = client(endpoint.secret_access_key.get_secret_value())
    boto.put_object(Bucket=repository, Key="main/a b+ü", Body=b"data", Metadata={"k": "v"}, ContentType="text/x")
    assert boto.get_object(Bucket=repository, Key="main/a b+ü", Range="bytes=1-2")["Body"].read() == b"at"
    large = os.urandom(6 << 20)
    boto.upload_fileobj(io.BytesIO(large), repository, "main/large", Config=TransferConfig(multipart_threshold=5 << 20))
    assert boto.get_object(Bucket=repository, Key="main/large")["Body"].read() == large
    listed = boto.list_objects_v2(Bucket=repository, Prefix="main/")["Contents"]
    assert [found["Key"] for found in listed] == ["main/a b+ü", "main/large"]
    boto.delete_objects(Bucket=repository, Delete={"Objects": [{"Key": "main/large"}]})
    assert boto.list_objects_v2(Bucket=repository, Prefix="main/")["KeyCount"] == 1
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client("another").get_object(Bucket=repository, Key="main/a b+ü")


def test_boto3_objects(boto: BaseClient, repository: str) -> None:
    """Put, head, get, copy, list and delete."""
    boto.put_object(Bucket=repository, Key="main/a b", Body=b"data", Metadata={"k": "v"}, ContentType="text/x")
    head = boto.head_object(Bucket=repository, Key="main/a b")
    assert (head["ContentLength"], head["Metadata"], head["ContentType"]) == (4, {"k": "v"}, "text/x")
    boto.copy_object(Bucket=repository, Key="main/ü", CopySource={"Bucket": repository, "Key": "main/a b"})
    assert boto.get_object(Bucket=repository, Key="main/ü")["Body"].read() == b"data"
    pages = boto.get_paginator("list_objects_v2").paginate(
        Bucket=repository, Prefix="main/", PaginationConfig={"PageSize": 1}
    )
    assert [item["Key"] for page in pages for item in page.get("Contents", [])] == ["main/a b", "main/ü"]
    deleted = boto.delete_objects(
        Bucket=repository, Delete={"Objects": [{"Key": "main/a b"}, {"Key": "main/ü"}, {"Key": "main/none"}]}
    )
    assert len(deleted["Deleted"]) == 3
    with pytest.raises(ClientError, match="NoSuchKey"):
        boto.get_object(Bucket=repository, Key="main/ü")


def test_boto3_multipart(boto: BaseClient, repository: str) -> None:
    """Large files go up in parts and come down in ranges, from several threads at once."""
    data = os.urandom(20_000_000)
    transfer = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=4)
    boto.upload_fileobj(io.BytesIO(data), repository, "main/large", Config=transfer)
    down = io.BytesIO()
    boto.download_fileobj(repository, "main/large", down, Config=transfer)
    assert down.getvalue() == data


def test_boto3_conditions_and_errors(boto: BaseClient, repository: str) -> None:
    """Conditional writes and refusals reach the client as the errors it knows."""
    boto.put_object(Bucket=repository, Key="main/a", Body=b"1", IfNoneMatch="*")
    for arguments, code in (
        ({"Key": "main/a", "IfNoneMatch": "*"}, "PreconditionFailed"),
        ({"Key": "main/a", "IfMatch": "x"}, "NotImplemented"),
        ({"Key": "nope/a"}, "NoSuchBucket"),
    ):
        with pytest.raises(ClientError, match=code):
            boto.put_object(Bucket=repository, Body=b"2", **arguments)
    assert boto.get_object(Bucket=repository, Key="main/a")["Body"].read() == b"1"


def test_boto3_presigned(boto: BaseClient, repository: str) -> None:
    """A presigned URL needs no key."""
    boto.put_object(Bucket=repository, Key="main/a b+c", Body=b"data")
    url = boto.generate_presigned_url("get_object", Params={"Bucket": repository, "Key": "main/a b+c"}, ExpiresIn=60)
    with urlopen(url) as answer:
        assert answer.read() == b"data"


def test_pyarrow_files(arrow: S3FileSystem, repository: str) -> None:
    """Streams of any size: parts of unknown length with a trailing checksum, ranged reads, moves, deletes."""
    for size in (0, 2, 12_000_000):
        data = os.urandom(size)
        with arrow.open_output_stream(f"{repository}/main/dir/file") as stream:
            stream.write(data)
        with arrow.open_input_file(f"{repository}/main/dir/file") as file:
            assert file.size() == size
            assert file.read() == data
            assert file.read_at(size, 0) == data
    arrow.move(f"{repository}/main/dir/file", f"{repository}/main/dir/moved")
    found = arrow.get_file_info(FileSelector(f"{repository}/main/dir"))
    assert [(info.base_name, info.type) for info in found] == [("moved", FileType.File)]
    arrow.delete_file(f"{repository}/main/dir/moved")
    assert arrow.get_file_info(f"{repository}/main/dir/moved").type == FileType.NotFound


def test_pyarrow_tables(arrow: S3FileSystem, repository: str) -> None:
    """Parquet files and data sets are written and read back."""
    pq.write_table(TABLE, f"{repository}/main/table.parquet", filesystem=arrow)
    assert pq.read_table(f"{repository}/main/table.parquet", filesystem=arrow).equals(TABLE)
    ds.write_dataset(TABLE, f"{repository}/main/set", format="parquet", filesystem=arrow, create_dir=False)
    assert ds.dataset(f"{repository}/main/set", filesystem=arrow).to_table().equals(TABLE)


def test_pyarrow_folder_markers_fail_as_on_lakefs(arrow: S3FileSystem, repository: str) -> None:
    """Making a folder at the root of a branch fails on lakeFS, so it must fail here: development would hide it."""
    with pytest.raises(OSError, match="RESOURCE_NOT_FOUND"):
        ds.write_dataset(TABLE, f"{repository}/main/set", format="parquet", filesystem=arrow, create_dir=True)


def test_duckdb(endpoint: Endpoint, arrow: S3FileSystem, repository: str, tmp_path: Path) -> None:
    """DuckDB reads and writes through httpfs, where that extension is on this machine."""
    connection = duckdb.connect(str(tmp_path / "database"), config={"autoinstall_known_extensions": False})
    try:
        connection.load_extension("httpfs")
    except duckdb.Error as error:
        pytest.skip(f"duckdb's httpfs extension is not installed: {str(error).splitlines()[0]}")
    secret = endpoint.secret_access_key.get_secret_value()
    connection.execute(
        "CREATE SECRET (TYPE s3, KEY_ID $key, SECRET $secret, ENDPOINT $host, URL_STYLE 'path', USE_SSL false)",
        {"key": endpoint.access_key_id, "secret": secret, "host": endpoint.url.removeprefix("http://")},
    )
    connection.execute(f"COPY (SELECT range AS number FROM range(1000)) TO 's3://{repository}/main/t.parquet'")
    assert connection.execute(f"SELECT sum(number) FROM 's3://{repository}/main/*.parquet'").fetchone() == (499500,)
    assert pq.read_table(f"{repository}/main/t.parquet", filesystem=arrow).num_rows == 1000
    connection.close()


def test_lakefs_wrapper(lake: Client, boto: BaseClient, repository: str) -> None:
    """What S3 wrote is branched, committed, diffed and merged with lakeFS's own client."""
    main = lakefs.Repository(repository, lake).branch("main")
    dev = lakefs.Repository(repository, lake).branch("dev").create("main")
    boto.put_object(Bucket=repository, Key="dev/a", Body=b"from s3")
    assert [(change.type, change.path) for change in dev.uncommitted()] == [("added", "a")]
    commit = dev.commit("a", metadata={"k": "v"})
    assert [(change.type, change.path) for change in main.diff(dev)] == [("added", "a")]
    assert boto.list_objects_v2(Bucket=repository, Prefix="main/")["KeyCount"] == 0
    dev.merge_into(main)
    assert main.object("a").reader(mode="r").read() == "from s3"
    key = f"{commit.get_commit().id}/a"
    assert boto.get_object(Bucket=repository, Key=key)["Body"].read() == b"from s3"
    with pytest.raises(NotFoundException):
        main.object("b").stat()
    main.object("a").upload(data=b"ours")
    main.commit("ours")
    dev.object("a").upload(data=b"theirs")
    dev.commit("theirs")
    with pytest.raises(ConflictException):
        dev.merge_into(main)
