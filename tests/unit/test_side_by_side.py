"""Which tests run beside which."""

from side_by_side import ROOT, ordered, unit_of


def test_files_that_share_the_demo_are_run_by_one_process() -> None:
    assert unit_of("tests/e2e/test_pages.py") == unit_of("tests/e2e/test_main_job.py") == "tests/e2e"
    assert unit_of("tests/e2e/test_console.py") == "tests/e2e/test_console.py"
    assert unit_of("tests/unit/test_docs.py") == "tests/unit/test_docs.py"
    assert unit_of("tests/e2e/test_nothing.py") == "tests/e2e/test_nothing.py"


def test_who_shares_the_demo_is_found_by_what_it_imports() -> None:
    shared = {
        file.name
        for file in (ROOT / "tests/e2e").glob("test_*.py")
        if unit_of(f"tests/e2e/{file.name}") == "tests/e2e"
    }
    using = {
        file.name
        for file in (ROOT / "tests/e2e").glob("test_*.py")
        if "demo: Demo" in file.read_text(encoding="utf-8")
    }
    assert shared == using


def test_what_waits_is_begun_first_and_what_computes_is_left_for_the_end() -> None:
    units = [
        ("tests/unit/test_many.py", 90),
        ("tests/unit/test_few.py", 2),
        ("tests/integration/lab/test_it.py", 3),
        ("tests/e2e/test_console.py", 9),
        ("tests/e2e", 30),
        ("tests/chaos/test_kills.py", 1),
        ("tests/contract/test_stores.py", 50),
    ]
    assert ordered(units) == [
        "tests/e2e",
        "tests/e2e/test_console.py",
        "tests/chaos/test_kills.py",
        "tests/integration/lab/test_it.py",
        "tests/unit/test_few.py",
        "tests/contract/test_stores.py",
        "tests/unit/test_many.py",
    ]
