"""Signing keys for tokens, and the local certificate authority that makes https possible."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import ipaddress
import json
import os
from collections.abc import Callable
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .store import Json

HOST_NAMES = ("localhost", "login.localhost")
KEY_FILES = (
    *("signing-keys.json", "workload-keys.json", "ca.pem", "ca-key.pem", "server.pem", "server-key.pem"),
    *("app.pem", "app-key.pem"),
)


class Keys:
    """RSA keys made at first start and kept, newest last: the newest signs, all are published (entra.md §9).

    Beside them are the key of the made-up cluster that vouches for workloads, and a certificate that the portal's two
    apps are registered with (entra.md §16).
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "signing-keys.json"
        if not self.path.exists():
            self._save([_new_pem()])
        self._load()
        workload = directory / "workload-keys.json"
        if not workload.exists():
            _write_private(workload, json.dumps([_new_pem()]).encode())
        self._workload = _read_pem(json.loads(workload.read_text())[-1])
        self.app_certificate = ensure_app_certificate(directory).read_text()

    def rotate(self) -> str:
        """Sign with a new key from now on; the old ones stay published. Returns the new key's id."""
        self._save([*json.loads(self.path.read_text()), _new_pem()])
        self._load()
        return self.kid

    def drop_old(self) -> list[str]:
        """Publish only the key that signs, as Entra does some time after a rotation. Returns the ids that went."""
        gone = [kid for kid in self._by_kid if kid != self.kid]
        self._save(json.loads(self.path.read_text())[-1:])
        self._load()
        return gone

    def sign(self, claims: Json) -> str:
        return jwt.encode(claims, self.private, algorithm="RS256", headers={"kid": self.kid})

    def sign_badly(self, claims: Json, how: str) -> str:
        """A token that no careful app accepts (security.md §8, A10-A14).

        `how`: "none" (no signature), "hs256" (our public key misused as a shared secret), "foreign" (another
        key under our key's id), "unknown-kid" (another key under an id of its own), "no-kid" (good, but unnamed).
        """
        headers: Json = {"typ": "JWT", "alg": "RS256", "kid": self.kid}
        if how == "none":
            return _assemble({**headers, "alg": "none"}, claims, lambda _: b"")
        if how == "hs256":
            secret = _public_pem(self.private)
            return _assemble({**headers, "alg": "HS256"}, claims, lambda m: hmac.digest(secret, m, "sha256"))
        if how == "no-kid":
            return jwt.encode(claims, self.private, algorithm="RS256")
        stranger = _new_key()
        kid = _kid(stranger) if how == "unknown-kid" else self.kid
        return jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": kid})

    def verify(self, token: str, audience: list[str]) -> Json:
        """Claims of a token of ours. Raises jwt.InvalidTokenError."""
        key = self._by_kid.get(jwt.get_unverified_header(token).get("kid", ""))
        if key is None:
            raise jwt.InvalidTokenError("signed by none of our keys")
        return jwt.decode(token, key.public_key(), algorithms=["RS256"], audience=audience)

    def jwks(self) -> Json:
        return {"keys": [_jwk(kid, key) for kid, key in self._by_kid.items()]}

    def sign_workload(self, claims: Json) -> str:
        return jwt.encode(claims, self._workload, algorithm="RS256", headers={"kid": _kid(self._workload)})

    def workload_key(self, kid: str) -> rsa.RSAPublicKey | None:
        return self._workload.public_key() if kid == _kid(self._workload) else None

    def workload_jwks(self) -> Json:
        return {"keys": [_jwk(_kid(self._workload), self._workload)]}

    def _load(self) -> None:
        loaded = [_read_pem(pem) for pem in json.loads(self.path.read_text())]
        self._by_kid = {_kid(key): key for key in loaded}
        self.private = loaded[-1]
        self.kid = _kid(self.private)

    def _save(self, pems: list[str]) -> None:
        _write_private(self.path, json.dumps(pems).encode())


def ensure_certificate(directory: Path) -> tuple[Path, Path]:
    """Make what is missing of CA and server certificate, and return the server's (certificate, key) files.

    The CA is kept for good, since clients point at <data>/ca.pem. The server's certificate is renewed at a start
    within 30 days of its end.
    """
    ca_cert, ca_key = directory / "ca.pem", directory / "ca-key.pem"
    cert, key = directory / "server.pem", directory / "server-key.pem"
    if not (ca_cert.exists() and ca_key.exists()):
        _make_ca(ca_cert, ca_key)
        cert.unlink(missing_ok=True)
    if not (cert.exists() and key.exists()) or _ends_soon(cert):
        _make_server(cert, key, ca_cert, ca_key)
    return cert, key


def ensure_app_certificate(directory: Path) -> Path:
    """The demonstration certificate of the portal's apps, made if missing or about to end; app-key.pem is its key."""
    cert, key_path = directory / "app.pem", directory / "app-key.pem"
    if not (cert.exists() and key_path.exists()) or _ends_soon(cert):
        key = _new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "devtenant demonstration app")])
        signed = _certificate(name, name, key, key, days=397).sign(key, hashes.SHA256())
        _write_private(key_path, _pem(key))
        _write(cert, signed.public_bytes(serialization.Encoding.PEM))
    return cert


def _make_ca(cert_path: Path, key_path: Path) -> None:
    key = _new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "devtenant local CA")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    cert = (
        _certificate(name, name, key, key, days=3650)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_private(key_path, _pem(key))
    _write(cert_path, cert.public_bytes(serialization.Encoding.PEM))


def _make_server(cert_path: Path, key_path: Path, ca_cert_path: Path, ca_key_path: Path) -> None:
    ca = x509.load_pem_x509_certificate(ca_cert_path.read_bytes())
    ca_key = _read_pem(ca_key_path.read_text())
    key = _new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    addresses: list[x509.GeneralName] = [x509.DNSName(host) for host in HOST_NAMES]
    addresses.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    cert = (
        _certificate(name, ca.subject, key, ca_key, days=397)
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_private(key_path, _pem(key))
    _write(cert_path, cert.public_bytes(serialization.Encoding.PEM))


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey, issuer_key: rsa.RSAPrivateKey, *, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority, critical=False)
    )


def _ends_soon(cert_path: Path) -> bool:
    cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
    return cert.not_valid_after_utc < dt.datetime.now(dt.UTC) + dt.timedelta(days=30)


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _new_pem() -> str:
    return _pem(_new_key()).decode()


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_pem(pem: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("devtenant only makes RSA keys")
    return key


def _public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _assemble(headers: Json, claims: Json, signature: Callable[[bytes], bytes]) -> str:
    """A compact JWT by hand, for what PyJWT rightly refuses to make."""

    def encoded(part: bytes) -> bytes:
        return base64.urlsafe_b64encode(part).rstrip(b"=")

    message = encoded(json.dumps(headers).encode()) + b"." + encoded(json.dumps(claims).encode())
    return (message + b"." + encoded(signature(message))).decode()


def _kid(key: rsa.RSAPrivateKey) -> str:
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()[:27]


def _jwk(kid: str, key: rsa.RSAPrivateKey) -> Json:
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"kty": "RSA", "use": "sig", "kid": kid, "n": public["n"], "e": public["e"]}


def _write_private(path: Path, content: bytes) -> None:
    _write(path, content, mode=0o600)


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write through a rename: a kill at first start must not leave half a key behind."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(content)
    fresh.replace(path)
