"""Pure price arithmetic in fen (R18)."""


def line_fen(unit_fen: int, quantity: int, discount_bp: int) -> int:
    """The price of one order line, rounded half up once, at least 1 fen.

    discount_bp  ten-thousandths of the price that remain: 9500 is 95 折
    """
    return max(1, (unit_fen * quantity * discount_bp + 5_000) // 10_000)
