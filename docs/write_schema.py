"""Write ``docs/schema.sql``: all tables, indexes, triggers and views as the migrations leave them.

python docs/write_schema.py
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.storage.workspace import Workspace
from review.store.reviews import ReviewStore

_TARGET = Path(__file__).with_name("schema.sql")


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        _TARGET.write_text(current_schema(Path(folder)), encoding="utf-8")


def current_schema(folder: Path) -> str:
    """Return the statements that make the database of a fresh workspace in ``folder``, by name."""
    workspace = Workspace(folder)
    ReviewStore(workspace)
    rows = workspace.database.query(
        """SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL
           ORDER BY CASE type WHEN 'table' THEN 1 WHEN 'view' THEN 2
                              WHEN 'index' THEN 3 ELSE 4 END, name"""
    )
    workspace.close()
    statements = "".join(f"\n{row['sql'].strip()};\n" for row in rows)
    return f"-- Written by docs/write_schema.py; a test compares it.\n{statements}"


if __name__ == "__main__":
    main()
