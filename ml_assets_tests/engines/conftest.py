"""The packs are not test modules by name; their asserts explain themselves all the same."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("ml_assets_tests.engines.pit_pack", "ml_assets_tests.engines.session_pack")
