"""python -m opsdesk.sandbox.inbox: start the demonstration mail inbox."""

from __future__ import annotations

import argparse
from pathlib import Path

from opsdesk.sandbox import process
from opsdesk.sandbox.inbox.mailbox import Mailbox
from opsdesk.sandbox.inbox.smtp import Post
from opsdesk.sandbox.inbox.web import Web
from opsdesk.sandbox.server import bind
from opsdesk.sandbox.storage import claim

BODY_LIMIT = 65_536


def main(words: list[str] | None = None) -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m opsdesk.sandbox.inbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8020, help="of the pages; 0 takes a free one")
    parser.add_argument("--smtp-port", type=int, default=8025, help="of SMTP; 0 takes a free one")
    parser.add_argument("--storage", type=Path, required=True, help="folder of its database file")
    options = parser.parse_args(words)
    held = claim(options.storage, "inbox")
    mailbox = Mailbox(options.storage)
    server = bind(options.host, options.port, Web(mailbox).answer, body_limit=BODY_LIMIT)
    post = Post(options.host, options.smtp_port, mailbox)
    post.start()
    process.run_until_told_to_stop(
        server,
        announce=(
            f"The demonstration inbox listens on http://{options.host}:{server.port} and takes mail on port {post.port}"
        ),
        on_stop=held.close,
    )


if __name__ == "__main__":
    main()
