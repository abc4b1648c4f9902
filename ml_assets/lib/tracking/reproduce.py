"""The shell script that proves a training frame again: same code, same data commit, same digest, on any machine."""

from __future__ import annotations

import shlex
from typing import Final

from ml_assets.lib.core.lineage import Lineage

PATH: Final = "lineage/reproduce.sh"

_SCRIPT: Final = """\
#!/bin/sh
# Rebuilds the training frame {frame} (split {split}, features {features}) and proves that it is the one
# that MLflow records: exit status 0 means that the digests are equal, anything else that they are not.
#
#   sh reproduce.sh [CODE]     CODE: a clone, or the URL, of the code's repository; else the recorded remote is used
#
# Needs git, a POSIX shell and Python. Reads from the environment:
#   LAKECTL_SERVER_ENDPOINT_URL, LAKECTL_CREDENTIALS_ACCESS_KEY_ID, LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY
#                              the lake; unset means the embedded lake of ML_ASSETS_HOME
#   ML_ASSETS_HOME             state folder; unset means a new one that is removed at the end
#   MLFLOW_TRACKING_URI        MLflow; unset means the one of the state folder
#   TMPDIR                     where the code is checked out; removed at the end
set -eu

frame={frame}
split={split}
features={features}
data_commit={data_commit}
digest={digest}
code_commit={code_commit}
code=${{1:-{remote}}}

export ML_ASSETS_LAKE_REPOSITORY={repository}

if [ -z "$code_commit" ] || [ -z "$code" ]; then
    echo "reproduce: no commit or remote of the code was recorded; run this with the right code at hand:" >&2
    echo "    ml-assets frame $frame --split $split --features $features --commit $data_commit" >&2
    exit 2
fi
if {dirty}; then
    echo "reproduce: the code had uncommitted changes when the model was trained; the digest will tell" >&2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
git clone --quiet --no-checkout -- "$code" "$work/code"
git -C "$work/code" checkout --quiet --detach "$code_commit"
export ML_ASSETS_HOME="${{ML_ASSETS_HOME:-$work/state}}"

"$work/code/deploy/run" ml-assets frame "$frame" --split "$split" --features "$features" --commit "$data_commit" \\
    > "$work/out"
cat "$work/out"
found=$(sed -n 's/^digest[: ]*\\(tbl1:[0-9a-f]*\\).*/\\1/p' "$work/out")
if [ "$found" != "$digest" ]; then
    echo "reproduce: NOT EQUAL: recorded $digest, rebuilt ${{found:-nothing}}" >&2
    exit 1
fi
echo "reproduce: equal, $digest"
"""


def command(lineage: Lineage, frame: str) -> str:
    """What a person types to rebuild the frame, given the right code and lake."""
    words = ("ml-assets", "frame", frame, "--split", lineage.split_version, "--features", lineage.feature_version)
    return shlex.join((*words, "--commit", lineage.lakefs_commit))


def script(lineage: Lineage, frame: str) -> str:
    """``reproduce.sh`` of the model that *lineage* is of; everything in it is data of the lineage, no secret is.

    Args:
        lineage: What is to be proved.
        frame: Name of the training frame.
    """
    return _SCRIPT.format(
        frame=shlex.quote(frame),
        split=shlex.quote(lineage.split_version),
        features=shlex.quote(lineage.feature_version),
        data_commit=shlex.quote(lineage.lakefs_commit),
        digest=shlex.quote(lineage.frame_digest),
        code_commit=shlex.quote(lineage.git_commit or ""),
        remote=shlex.quote(lineage.git_remote or ""),
        repository=shlex.quote(lineage.lakefs_repository),
        dirty="true" if lineage.dirty else "false",
    )
