"""Its columns."""

from ml_assets.lib.declare import Field, Int32, SourceContract, Timestamp


class Wide(SourceContract):
    """One row per number."""

    number: int = Field(ge=0, description="Number of the row")
    at: Timestamp = Field(description="Some second (UTC)")
    code: str = Field(description="One of a thousand words")
    small: Int32 = Field(nullable=True, ge=0, description="Below a hundred")
    f0: float = Field(nullable=True, description="A number")
    f1: float = Field(nullable=True, description="A number")
    f2: float = Field(nullable=True, description="A number")
    f3: float = Field(nullable=True, description="A number")
    f4: float = Field(nullable=True, description="A number")
    f5: float = Field(nullable=True, description="A number")

    class Config:
        unique = ("number",)
