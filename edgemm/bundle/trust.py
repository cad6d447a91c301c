"""What a caller trusts a bundle with: one value, given once, where the bundle is opened.

Everything that opens a bundle takes it as `trust=` and hands it to `Bundle`, which refuses there, before anything of the bundle is parsed or
loaded, and keeps it for what loads later. Whatever else comes to be asked of a bundle's origin is asked here. It knows nothing of files or runners.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgemm.errors import BundleError, UsageError
from edgemm.limits import RUN_S

if TYPE_CHECKING:
    from pathlib import Path

    from edgemm.bundle.files import Bundle

_ID = r"[0-9a-f]{12,64}"


@dataclass(frozen=True)
class Trust:
    """What a bundle is trusted with.

    Attributes:
        engines: its native code (TensorRT engines, say) may be loaded. It runs with the caller's rights, so this is a matter of where the
            bundle came from; its graphs are data, and need no trust.
        id: the only bundle that may be opened, by its id (`edgemm verify` prints it) or the id's first 12 or more hexadecimal digits.
        keys: PEM file or files of Ed25519 public keys: a bundle that none of them has signed (`edgemm sign`) is not opened. None: whoever made it.
        max_run_s: how long one run of one of its graphs may take, for each row of a batch; ONNX Runtime then stops it. An engine cannot be stopped.

    Raises:
        UsageError: `id` cannot be one, `keys` is empty, or `max_run_s` is not above 0.
    """

    engines: bool = False
    id: str | None = None
    keys: str | Path | Sequence[str | Path] | None = None
    max_run_s: float = RUN_S

    def __post_init__(self) -> None:
        if not self.max_run_s > 0:
            raise UsageError(f"max_run_s must be above 0, got {self.max_run_s:g}")
        if self.keys is not None:
            object.__setattr__(
                self, "keys", (self.keys,) if isinstance(self.keys, (str, os.PathLike)) else tuple(self.keys)
            )
            if not self.keys:  # an empty list of keys, read from somewhere, must not mean that anybody will do
                raise UsageError("keys: expected at least one public key; None admits every maker's bundles")
        if self.id is None:
            return
        object.__setattr__(self, "id", self.id.strip().lower())
        if not re.fullmatch(_ID, self.id):
            raise UsageError(
                f"an expected id is 12 to 64 hexadecimal digits, got '{self.id}'; 'edgemm verify BUNDLE' prints a bundle's"
            )

    @property
    def names_origin(self) -> bool:
        """Whether only some bundles are admitted."""
        return self.id is not None or self.keys is not None

    def check(self, bundle: Bundle) -> None:
        """Raise unless this is a bundle that may be opened; only its id and its signatures are looked at.

        Raises:
            BundleError: it is another one, or nobody who is trusted has signed it.
            UsageError: a key cannot be used.
            MissingDependencyError: keys are given, and `cryptography` is not installed.
        """
        if self.id is not None and not bundle.id.startswith(self.id):
            raise BundleError(
                f"{bundle.path}: expected the bundle {self.id}, this one is {bundle.id}; nothing of it was loaded. Get it again from where that id "
                "came from, or, if it was meant to change ('edgemm build' changes the id), expect the new id"
            )
        if self.keys is not None:
            from edgemm.bundle.signing import check_signed  # a cold start without keys does without it

            check_signed(bundle.id, bundle.signatures(), tuple(self.keys), bundle.path)  # type: ignore[arg-type]


UNTRUSTED = Trust()
