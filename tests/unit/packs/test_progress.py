"""Lines of progress for logs."""

from deploy.models.progress import Lines


def test_lines_come_now_and_then_and_tell_rate_and_time_left() -> None:
    now = [0.0]
    lines: list[str] = []
    show = Lines("pack.zip", lines.append, clock=lambda: now[0])
    for second, done in enumerate(range(10_000_000, 100_000_000, 1_000_000)):
        now[0] = float(second)
        show(done, 100_000_000)
        if len(lines) == 2:
            break
    assert lines == [
        "pack.zip: 15.0 of 100.0 MB, 1.0 MB/s, 85 s left",
        "pack.zip: 20.0 of 100.0 MB, 1.0 MB/s, 80 s left",
    ]


def test_what_takes_no_time_is_not_worth_a_line() -> None:
    lines: list[str] = []
    show = Lines("pack.zip", lines.append, clock=lambda: 0.0)
    show(0, 10)
    show(10, 10)
    assert lines == []
