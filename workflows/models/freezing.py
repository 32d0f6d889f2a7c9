"""Rows of an edition are frozen with it: the database refuses to change them once the edition left the draft."""

import pgtrigger


def frozen_with(name: str, *, table: str, column: str, part: str, whole: str) -> pgtrigger.Trigger:
    """The trigger of that name for the table of the parts: its `column` points to the edition in `table`.

    `part` and `whole` are what the refusal calls them, such as "a step" and "version".
    """
    return pgtrigger.Trigger(
        name=name,
        operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
        when=pgtrigger.Before,
        declare=[("whole", "text")],
        func=f"""
                    SELECT state INTO whole FROM {table}
                    WHERE id = (CASE WHEN TG_OP = 'DELETE' THEN OLD.{column} ELSE NEW.{column} END);
                    IF whole <> 'draft' THEN
                        RAISE EXCEPTION 'pgtrigger: Cannot change {part} of a published {whole}';
                    END IF;
                    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
                    RETURN NEW;
                """,  # noqa: S608 - names of our own tables
    )


def frozen_with_its_version(part: str) -> pgtrigger.Trigger:
    """For what belongs to a workflow's version, such as "a step"."""
    return frozen_with(
        "frozen_with_its_version", table="workflows_workflowversion", column="version_id", part=part, whole="version"
    )
