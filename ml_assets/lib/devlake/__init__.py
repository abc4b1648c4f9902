"""An embedded server that speaks lakeFS's own API, so that everything runs with nothing installed.

Its law: whoever stores a month of work here loses no byte, whatever process dies at whatever line; and a client written
against it works against lakeFS unchanged. Past one machine, use lakeFS.

::

    store      bytes, by address                       files, small_files  where they are: large ones, small ones
    sequential one thing after the other, in a pool
    database   SQLite: snapshots, group commit         tree      pure: a two-level Merkle tree of entries
    nodes      where the tree's ranges are kept
    names      what may be called what                 refs      from an expression to a commit
    history    commits, their ids, log, merge base     staging   uncommitted changes of a branch
    access     who may write where                     page      pages of listings
    globs      what protection rules cover             retention which old commits keep their bytes
    schema     tables, and the way from older ones     failures  what clients are told when the machine fails
    landing    asks hooks, does it, tells hooks       hooks, webhooks, actions
                                                       whom to ask or tell, and what they say
    repo       the lake, its repositories              branches, tags, commits, merges, diffs, objects, uploads,
                                                       protection: one module per group of operations
    rest       the REST API: routes, call, replies     s3        the S3 gateway
    sigv4, sigv2  who signed what for S3
    app        authentication, dispatch                server    start, stop, status
    protocol   HTTP within bounds                     memory    used again
    gc, marks  collecting garbage                      check, check_*, findings  is everything there and whole?
    backup     a copy, and the way back                maintenance  a lake opened for these three

Every public operation of ``repo`` and the groups beside it is one transaction. Nothing here imports more of the project
than ``lib.core``.

Where it differs from lakeFS on purpose, it is stricter, and lakeFS fails:

- A glob of branch protection that is malformed, or absurdly long or deep, is refused when it is set; lakeFS accepts it,
  and then refuses every write to the repository.
- An invalid ref is 400 everywhere; lakeFS answers 500 to some calls, and hangs up on ``main^-1``.
- A key that is new on both sides of a merge with different contents is always a conflict; lakeFS resolves it silently
  if one side equals the next key of the base.
- What is put back as it was is no change: a merge or a revert that brings nothing else is refused with "no changes".
  lakeFS compares addresses and times of writing too, and makes a commit that differs from its parent in nothing.
- A commit is found by its id whatever was done with it; lakeFS loses one that has metadata and was cherry-picked, for
  as long as its cache holds it.
- Only bytes that are in the store can be linked as an object, with their size and a time that can be shown: there is no
  object that cannot be read.
- An action file that cannot be followed is 412, as a hook that refuses is; lakeFS answers 500.
- A full disk is 507. A write whose bytes were collected as garbage while it was made is 503, and may be sent again.
- A repository without retention rules keeps every commit, and where two branches meet, the longer retention counts
  whichever comes first; lakeFS refuses to collect, or loses the commit.
- Signatures of version 2 cover ``uploadId`` and ``partNumber``, as Amazon says; lakeFS refuses what clients sign so.

Left out are presigned URLs of version 2 (lakeFS has none either), and linking the addresses that
``staging/backing`` gives, since nobody but the server can put bytes there.

Of hooks, webhooks are called, for all events of lakeFS (`actions.Event`); those of another type refuse.
"""
