"""How long random scripts are looked for: `EDGEMM_SCRIPTS=thorough` looks longer, and elsewhere each time; `found` does so without making
small what it finds, which takes minutes; `mutants` hardly looks at all."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

_COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("quick", derandomize=True, max_examples=100, **_COMMON)
settings.register_profile(
    "thorough", max_examples=int(os.environ.get("EDGEMM_EXAMPLES", "20000")), print_blob=True, **_COMMON
)
settings.register_profile("found", max_examples=4000, phases=[Phase.generate], **_COMMON)
settings.register_profile("mutants", derandomize=True, max_examples=15, phases=[Phase.generate], **_COMMON)
settings.load_profile(os.environ.get("EDGEMM_SCRIPTS", "quick"))
