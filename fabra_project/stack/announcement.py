"""The text that the terminal shows once the bot runs."""

from fabra_project.stack.bot import Address
from fabra_project.stack.folder import DataFolder

_OPEN = """\
Development mode (DEBUG=1): the chat, the API and the debug pages are open to everyone who can reach {address},
without a key. Set DEBUG=0 to require keys and sign-in."""
_CLOSED = """\
Development mode is off: the API needs a key (manage.py create_api_key NAME --scope chat)."""
_TEXT = """
The bot is running.

  Chat page    {url}/
  Admin        {url}/admin/   user: {username}   password: {password}
  API          {url}/api/docs/
  Logs         {logs}/*.log

  Try it:
  curl -X POST {url}/chat -H "Content-Type: application/json"{key} \\
       -d '{{"user_id": "user_123", "message": "{question}"}}'

{mode}
Ctrl-C stops all of it.
"""


def announcement(
    folder: DataFolder, address: Address, admin: dict[str, str | None], *, is_open: bool, has_sample: bool
) -> str:
    return _TEXT.format(
        url=address.url,
        username=admin["username"],
        password=_password(admin),
        logs=folder.logs,
        key="" if is_open else ' -H "Authorization: Bearer YOUR_KEY"',
        question="How do I reset my password?" if has_sample else "YOUR QUESTION",
        mode=(_OPEN if is_open else _CLOSED).format(address=f"{address.host}:{address.port}"),
    )


def _password(admin: dict[str, str | None]) -> str:
    """Return the password the first time, later where it is: a terminal is read and kept by others too."""
    if admin["password"]:
        return admin["password"]
    return f"(in {admin['kept_in']})" if admin["kept_in"] else "(the one you chose; manage.py changepassword admin)"
