"""Imports what takes time, once, in the process from which children are forked. Opens nothing and starts no thread."""

from ml_assets.lib.tracking.store import set_environment

set_environment()

import ibis.backends.duckdb  # noqa: E402, F401
import mlflow.models  # noqa: E402
import mlflow.store.model_registry.sqlalchemy_store  # noqa: E402
import mlflow.store.tracking.sqlalchemy_store  # noqa: E402
import mlflow.utils.requirements_utils  # noqa: E402
import pandera.ibis  # noqa: E402, F401
import sklearn.ensemble  # noqa: E402, F401
import skops.io  # noqa: E402, F401

import ml_assets.lib.declare.audit  # noqa: E402
import ml_assets.lib.tables.tables  # noqa: E402
import ml_assets.lib.tracking.models  # noqa: E402
import ml_assets.lib.tracking.registry  # noqa: E402
import ml_assets.lib.tracking.trace  # noqa: E402, F401
from ml_assets.lib.gate.code import installed  # noqa: E402
from ml_assets_tests.gate import world  # noqa: E402

world.declarations()
installed()
mlflow.utils.requirements_utils._init_packages_to_modules_map()  # type: ignore[no-untyped-call] # MLflow's
