"""The changes to the API: cosmic-ray's, of those operators that make what people mistake."""

from collections.abc import Iterator

from scripts.local import ROOT, StackError
from scripts.mutants.mutant import Mutant, named

MODULES = (
    *("auth", "tokens", "cookies", "keys", "limits", "errors", "rpc", "rooms", "daily", "webhook"),
    *("headers", "video", "bodies", "sessions", "therapist", "credits", "jitsi"),
)
_OPERATORS = {
    "not": "AddNot",
    "or": "ReplaceAndWithOr",
    "and": "ReplaceOrWithAnd",
    "false": "ReplaceTrueWithFalse",
    "true": "ReplaceFalseWithTrue",
    "number": "NumberReplacer",
    "no-loop": "ZeroIterationForLoop",
    "no-decorator": "RemoveDecorator",
    "go-on": "ReplaceBreakWithContinue",
    "differs": "ReplaceComparisonOperator_Eq_NotEq",
    "same": "ReplaceComparisonOperator_NotEq_Eq",
    "or-equal": "ReplaceComparisonOperator_Lt_LtE",
    "not-equal": "ReplaceComparisonOperator_LtE_Lt",
    "or-equal-above": "ReplaceComparisonOperator_Gt_GtE",
    "not-equal-above": "ReplaceComparisonOperator_GtE_Gt",
    "is-not": "ReplaceComparisonOperator_Is_IsNot",
    "is": "ReplaceComparisonOperator_IsNot_Is",
    "minus": "ReplaceBinaryOperator_Add_Sub",
    "plus": "ReplaceBinaryOperator_Sub_Add",
    "divided": "ReplaceBinaryOperator_Mul_Div",
}


def mutants() -> Iterator[Mutant]:
    """Yield every change, always the same ones in the same order."""
    for module in MODULES:
        path = f"api/{module}.py"
        text = (ROOT / path).read_text()
        yield from named(path, text, _changes(text))


def _changes(text: str) -> Iterator[tuple[str, int, int, str]]:
    """Yield what each operator makes of a module, as the piece that differs."""
    try:
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator
    except ImportError:
        raise StackError("no cosmic-ray: pip install -r requirements-mutants.txt") from None

    for rule, name in _OPERATORS.items():
        occurrence = 0
        while changed := mutate_code(text, get_operator(f"core/{name}")(), occurrence):
            occurrence += 1
            start = next(n for n, (a, b) in enumerate(zip(text, changed, strict=False)) if a != b)
            kept = 0
            while (
                kept < min(len(text), len(changed)) - start
                and text[-1 - kept] == changed[-1 - kept]
            ):
                kept += 1
            yield rule, start, len(text) - kept, changed[start : len(changed) - kept]
