"""Whether guesses may be asked for: attributes are off unless a job or call wants them, and need a network."""

from api.services import Services
from common.errors import ConflictError


def check_attributes(services: Services) -> None:
    """Raises ConflictError when the active pack has no network that guesses attributes."""
    if not services.has_attributes:
        raise ConflictError(
            f"The model pack {services.settings.model_pack!r} has no network that guesses attributes. Ask without them,"
            " or install a pack that has one (`facepipe models list` names them, `facepipe models install buffalo_l`"
            " gets one) and start the server with FACEPIPE_MODEL_PACK set to it.",
            "no_attribute_model",
            "attributes",
        )
