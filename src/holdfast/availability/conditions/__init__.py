"""The condition language: what a check expects of the facts that a probe brings back.

One small language for every check type. A check type declares its facts (`facts.py`); the words around them
are the same everywhere. The page for operators is docs/conditions.md.

    expression = parse('status in 200..299 and json("$.queue.depth") < 100')
    expression.holds({"status": 503, "body": b"{}"}).explanation    # status was 503, expected 200..299

Rules:
1. An expression is checked when it is parsed: unknown facts and types that do not compare are errors then.
2. Evaluating never raises and its work is bounded, whatever the target sent.
3. What is not known does not hold, and its negation does not hold either (Kleene's three values). No data is
   never good news.
"""

from holdfast.availability.conditions.expressions import Evaluation, Expression
from holdfast.availability.conditions.facts import CHECK_TYPES, Fact, Facts, Kind
from holdfast.availability.conditions.parser import parse, validate

__all__ = ["CHECK_TYPES", "Evaluation", "Expression", "Fact", "Facts", "Kind", "parse", "validate"]
