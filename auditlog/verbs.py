"""The verbs an entry may carry. Each app registers its own; an unknown verb is a programming error."""

_known: dict[str, str] = {}


def register(**verbs: str) -> None:
    """Add verbs: name as `app__noun__past_tense`, value the words shown on screen."""
    for name, words in verbs.items():
        verb = name.replace("__", ".")
        if _known.setdefault(verb, words) != words:
            raise ValueError(f"The audit verb {verb} is registered twice.")


def words(verb: str) -> str:
    """How the verb reads on screen."""
    return _known[verb]


def known() -> dict[str, str]:
    """Every registered verb with its words."""
    return dict(_known)
