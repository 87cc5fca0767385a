"""How far the property tests go, by HYPOTHESIS_PROFILE: bounded and the same each time (unset), `deep`, or `verdict`.

HYPOTHESIS_PROFILE=deep python -m pytest tests/connectors/xero -k Machine    # 50 times as many examples, at random
HYPOTHESIS_PROFILE=verdict ...    # as by default, but a failure is not made small: a mutant needs only the verdict
"""

from __future__ import annotations

import os

from hypothesis import Phase, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
_TIMES = {"default": 1, "deep": 50, "verdict": 1}

# The default suite tells whether the tree is sound, so it must say the same of the same tree; new ground is for deep.
settings.register_profile("default", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("deep", deadline=None, derandomize=False, print_blob=True)
settings.register_profile("verdict", settings.get_profile("default"), phases=[Phase.explicit, Phase.generate])


def load() -> None:
    """Once, before the tests are read. An unknown profile is said in one sentence."""
    if PROFILE not in _TIMES:
        raise SystemExit(f"HYPOTHESIS_PROFILE={PROFILE} is unknown: leave it unset, or set it to one of {[*_TIMES]}.")
    settings.load_profile(PROFILE)


def examples(count: int) -> int:
    """`count` of the default suite, as the profile has it."""
    return count * _TIMES[PROFILE]
