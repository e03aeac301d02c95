"""What the estate says must be true of a copy."""

from holdfast.backup.verify.looking import Wanted
from holdfast.estate.backup import Database


def wanted_of(database: Database) -> Wanted:
    """By its declaration. The same is asked of a copy, whichever engine it came from."""
    declared = database.verification
    return Wanted(declared.dbname or database.connection.dbname, declared.checks, declared.newest)
