"""The example in the documentation verifies what is really sent."""

import re
import time
from pathlib import Path
from typing import Any

from holdfast.adapters.vault.aes import AesVault
from holdfast.communication.signing import signature, signing_secret

PAGE = Path(__file__).resolve().parents[3] / "docs" / "webhooks.md"
SUBSCRIPTION = "6f2b7f0e-4c39-4f7c-9a35-1a3b8c1f8d11"


def _example() -> Any:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)
    return names["is_genuine"]


def test_the_example_accepts_what_we_send_and_nothing_else() -> None:
    is_genuine = _example()
    secret = signing_secret(AesVault(b"k" * 32), SUBSCRIPTION)
    body = '{"headline": "Störung"}'.encode()
    now = int(time.time())

    def headers(timestamp: int = now, **changes: str) -> dict[str, str]:
        signed = signature(secret, "id-1", timestamp, body)
        made = {"webhook-id": "id-1", "webhook-timestamp": str(timestamp), "webhook-signature": signed}
        return made | {name.replace("_", "-"): value for name, value in changes.items()}

    assert is_genuine(secret, headers(), body)
    assert is_genuine(
        secret, headers(webhook_signature="v1,AAAA " + signature(secret, "id-1", now, body)), body
    )
    assert not is_genuine(secret, headers(), body + b" ")
    assert not is_genuine(secret, headers(webhook_id="id-2"), body)
    assert not is_genuine(secret, headers(webhook_timestamp=str(now - 1)), body)
    assert not is_genuine(secret, headers(now - 3600), body), "an old one, replayed"
    assert not is_genuine(signing_secret(AesVault(b"o" * 32), SUBSCRIPTION), headers(), body)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of its specification, as its libraries have it in their tests."""
    signed = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
