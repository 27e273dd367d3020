"""What an MCP server has to be, whoever sets it: the API or a file."""

from rondel.errors import Invalid
from rondel.gateway.checking import check_header, check_name, check_secret
from rondel.gateway.mcp.models import McpSettings
from rondel.gateway.rules import parse_address


def check_server(name: str, settings: McpSettings) -> None:
    """Refuse what cannot work or would give a secret away.

    Raises:
        Invalid: the name, the URL, the secret's reference, a header or a tool is wrong.
    """
    check_name("server", name)
    if "${" in settings.url:
        raise Invalid(f"{settings.url!r} is taken as it is: variables are taken in 'secret' only.")
    parse_address(settings.url)
    check_secret(settings.secret)
    for header, value in settings.headers.items():
        check_header(header, value)
    if not all(settings.tools):
        raise Invalid("A tool's name is empty: leave 'tools' out to offer all of them.")
