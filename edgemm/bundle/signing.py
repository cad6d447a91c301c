"""Who made a bundle: Ed25519 signatures of its manifest, which has the hash of every file.

They lie beside the manifest in `manifest.sig`, a line per key: `ed25519 PUBLIC SIGNATURE`, both in hexadecimal. Keys are PEM files, as OpenSSL makes
them too (`openssl genpkey -algorithm ed25519`). A signature says who, not when, and cannot be revoked; whoever trusts a key says so with
`Trust(keys=…)`. It knows nothing of what is in a bundle.

Source: RFC 8032; what is signed begins with its purpose, so that no signature made for another purpose can stand for it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemm.bundle.files import SIGNATURES, Bundle
from edgemm.errors import BundleError, UsageError
from edgemm.host.optional import require
from edgemm.limits import SIGNATURES_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_PURPOSE = b"edgemm bundle 1\n"
_EXISTS = "'{}' exists: a key is never overwritten; choose another name"
_LINE = re.compile(r"ed25519 ([0-9a-f]{64}) ([0-9a-f]{128})")
_WHY = "signing a bundle, or checking who has,"


def make_key(path: str | Path) -> tuple[Path, Path]:
    """A new key pair: the private key at `path`, readable by its owner alone, and the public one beside it, `.pub`.

    Returns:
        both paths.

    Raises:
        UsageError: one of them is there already.
        MissingDependencyError: `cryptography` is not installed.
    """
    serialization = _library("primitives.serialization")
    key = _library("primitives.asymmetric.ed25519").Ed25519PrivateKey.generate()
    private, public = Path(path), Path(path).with_suffix(".pub")
    for file in (private, public):  # both, before one is written
        if file.exists() or file.is_symlink():
            raise UsageError(_EXISTS.format(file))
    if private == public:
        raise UsageError(
            f"'{private}' would be the public key; name the private one: edgemm sign --new-key {private.with_suffix('.key')}"
        )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    given_out = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for file, content, mode in ((private, secret, 0o600), (public, given_out, 0o644)):
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            raise UsageError(_EXISTS.format(file)) from None
        except OSError as error:
            raise UsageError(f"cannot write the key '{file}': {error.strerror}") from None
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
    return private, public


def sign(bundle: str | Path, key: str | Path) -> str:
    """Sign a bundle, beside whoever has signed it before; a key's older signature is replaced.

    Args:
        bundle: folder or zip; every file in it is checked first, since a signature vouches for all of it.
        key: PEM file of an Ed25519 private key without a passphrase.

    Returns:
        the public key, hexadecimal.

    Raises:
        BundleError: it is not whole, or cannot be written.
        UsageError: the key cannot be used.
        MissingDependencyError: `cryptography` is not installed.
    """
    private = _private_key(Path(key))
    opened = Bundle(bundle)
    opened.check_all()
    public = private.public_key().public_bytes_raw().hex()
    lines = {name: signature for name, signature in _signatures(opened.signatures()).items() if name != public}
    lines[public] = private.sign(_PURPOSE + opened.id.encode())
    text = "".join(f"ed25519 {name} {signature.hex()}\n" for name, signature in lines.items())
    if len(text) > SIGNATURES_BYTES:
        raise UsageError(f"{bundle}: {len(lines)} keys have signed it, more than anybody would read; export it again")
    try:
        (_put_in_folder if opened.path.is_dir() else _put_in_zip)(opened.path, text)
    except OSError as error:
        raise BundleError(f"{bundle}: cannot write its signature: {error.strerror or error}") from None
    return public


def signers(bundle: Bundle) -> list[str]:
    """The public keys, hexadecimal, whose signatures of this bundle hold. That they hold says nothing of who has the keys.

    Raises:
        MissingDependencyError: it has signatures, and `cryptography` is not installed.
    """
    given = _signatures(bundle.signatures())
    if not given:
        return []
    public_key = _library("primitives.asymmetric.ed25519").Ed25519PublicKey
    return [
        name
        for name, signature in given.items()
        if _holds(public_key.from_public_bytes(bytes.fromhex(name)), signature, bundle.id)
    ]


def check_signed(bundle_id: str, signatures: str, keys: tuple[str | Path, ...], where: object) -> None:
    """Raise `BundleError` unless one of `keys`, PEM files of public keys, has signed the bundle with that id."""
    given = _signatures(signatures)
    for path in keys:
        key = _public_key(Path(path))
        signature = given.get(key.public_bytes_raw().hex())
        if signature is not None and _holds(key, signature, bundle_id):
            return
    found = f"it is signed by {', '.join(name[:16] for name in given)}" if given else "it is not signed"
    raise BundleError(
        f"{where}: none of the keys that were given ({', '.join(Path(path).name for path in keys)}) has signed this bundle: {found}; nothing of it was "
        "loaded. Get it again from its maker; what 'edgemm build' has added engines to must be signed again"
    )


def _signatures(text: str) -> dict[str, bytes]:
    """Public key -> signature; lines that are none are not looked at, as they can vouch for nothing."""
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {match[1]: bytes.fromhex(match[2]) for match in found if match}


def _holds(key: Ed25519PublicKey, signature: bytes, bundle_id: str) -> bool:
    try:
        key.verify(signature, _PURPOSE + bundle_id.encode())
    except _library("exceptions", hazmat=False).InvalidSignature:
        return False
    return True


def _private_key(path: Path) -> Ed25519PrivateKey:
    serialization = _library("primitives.serialization")
    return _key(path, "private", lambda content: serialization.load_pem_private_key(content, None))  # type: ignore[no-any-return]


def _public_key(path: Path) -> Ed25519PublicKey:
    serialization = _library("primitives.serialization")
    return _key(path, "public", serialization.load_pem_public_key)  # type: ignore[no-any-return]


def _key(path: Path, which: str, load: Any) -> Any:
    expected = f"expected a PEM file of an Ed25519 {which} key; make a pair with: edgemm sign --new-key publisher.key"
    try:
        with path.open("rb") as file:
            key = load(file.read(65536))
    except OSError as error:
        raise UsageError(f"cannot read the key '{path}': {error.strerror}; {expected}") from None
    except (ValueError, TypeError) as error:
        reason = "it has a passphrase" if "assword" in str(error) else "it is none"
        raise UsageError(f"'{path}' cannot be used as a {which} key: {reason}; {expected}") from None
    except _library("exceptions", hazmat=False).UnsupportedAlgorithm:
        raise UsageError(f"'{path}' is a key of an algorithm that is not known; {expected}") from None
    if type(key).__name__ != f"Ed25519{which.title()}Key":
        raise UsageError(f"'{path}' is another kind of key; {expected}")
    return key


def _library(name: str, *, hazmat: bool = True) -> Any:
    return require(f"cryptography.{'hazmat.' if hazmat else ''}{name}", "sign", _WHY)


def _put_in_folder(folder: Path, text: str) -> None:
    """By a new file of its own: whatever lies in the folder is its maker's, links too, and none is followed."""
    handle, name = tempfile.mkstemp(prefix=f".{SIGNATURES}.", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        Path(name).chmod(0o644)
        os.replace(name, folder / SIGNATURES)
    finally:
        Path(name).unlink(missing_ok=True)


def _put_in_zip(path: Path, text: str) -> None:
    """A copy beside it takes its place; members are copied as they are, but for an older signature."""
    import zipfile

    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(path) as old, zipfile.ZipFile(file, "w") as new:
            for member in old.infolist():
                if member.filename != SIGNATURES:
                    with old.open(member) as source, new.open(member, "w") as target:
                        shutil.copyfileobj(source, target)
            new.writestr(SIGNATURES, text)
        shutil.copymode(path, aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
