from shared.errors import UserError


def test_a_user_error_is_a_value_error_with_its_sentence() -> None:
    assert issubclass(UserError, ValueError)
    assert str(UserError("a: b; c.")) == "a: b; c."
