"""What a caller trusts a bundle with: one value, given once, where the bundle is opened.

Everything that opens a bundle takes it as `trust=` and hands it to `Bundle`, which refuses there, before anything of the bundle is parsed or
loaded, and keeps it for what loads later. Whatever else comes to be asked of a bundle's origin is asked here. It knows nothing of files or runners.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgemm.errors import BundleError, UsageError

_ID = r"[0-9a-f]{12,64}"


@dataclass(frozen=True)
class Trust:
    """What a bundle is trusted with.

    Attributes:
        engines: its native code (TensorRT engines, say) may be loaded. It runs with the caller's rights, so this is a matter of where the
            bundle came from; its graphs are data, and need no trust.
        id: the only bundle that may be opened, by its id (`edgemm verify` prints it) or the id's first 12 or more hexadecimal digits.

    Raises:
        UsageError: `id` cannot be one.
    """

    engines: bool = False
    id: str | None = None

    def __post_init__(self) -> None:
        if self.id is None:
            return
        object.__setattr__(self, "id", self.id.strip().lower())
        if not re.fullmatch(_ID, self.id):
            raise UsageError(
                f"an expected id is 12 to 64 hexadecimal digits, got '{self.id}'; 'edgemm verify BUNDLE' prints a bundle's"
            )

    def check_id(self, found: str, where: object) -> None:
        """Raise `BundleError` unless `found`, the id of the bundle at `where`, is the expected one."""
        if self.id is not None and not found.startswith(self.id):
            raise BundleError(
                f"{where}: expected the bundle {self.id}, this one is {found}; nothing of it was loaded. Get it again from where that id "
                "came from, or, if it was meant to change ('edgemm build' changes the id), expect the new id"
            )


UNTRUSTED = Trust()
