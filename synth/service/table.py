"""The table of orders."""

import sqlalchemy as sa

VERSION = 1  # of what the columns mean; another one has another table
METADATA = sa.MetaData()
ORDERS = sa.Table(
    "orders",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),  # the order in which they are done
    sa.Column("id", sa.String(32), nullable=False, unique=True),  # nobody guesses it
    sa.Column("client", sa.String(64), nullable=False, index=True),
    sa.Column("key", sa.String(255)),  # Idempotency-Key
    sa.Column("network", sa.String(64), nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("images", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("starts", sa.Integer, nullable=False),
    sa.Column("what", sa.String(80), nullable=False),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("ended", sa.Float),
    sa.Column("reason", sa.Text),
    sa.Column("sha256", sa.String(64)),
    sa.Column("file_sha256", sa.String(64)),
    sa.Column("bytes", sa.BigInteger),
    sa.UniqueConstraint("client", "key"),
    sqlite_autoincrement=True,
)
