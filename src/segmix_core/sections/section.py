"""What all sections of the settings have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings that belong together: frozen, and a name that is not known is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
