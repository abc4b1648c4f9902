"""What the S3 gateway refuses: one row per error, as S3 and lakeFS name them."""

from __future__ import annotations

from enum import Enum


class S3Code(Enum):
    """An S3 error: its code on the wire, its HTTP status, and the message when there is nothing better to say."""

    ACCESS_DENIED = ("AccessDenied", 403, "Access Denied.")
    BAD_DIGEST = ("BadDigest", 400, "The checksum that was sent is not that of the bytes that were received.")
    BAD_REQUEST = ("BadRequest", 400, "400 BadRequest")
    BUCKET_ALREADY_EXISTS = ("BucketAlreadyExists", 409, "A repository of this name exists already.")
    CONTENT_SHA256_MISMATCH = (
        "XAmzContentSHA256Mismatch",
        400,
        "The x-amz-content-sha256 header is not the SHA-256 of the bytes that were received.",
    )
    CREDENTIAL_DATE = ("AuthorizationHeaderMalformed", 400, "The date of the credential is not that of the request.")
    DELETING_KEY = ("ErrDeletingKey", 400, "error deleting object")
    INCOMPLETE_BODY = ("IncompleteBody", 400, "The body is not as long as the headers say.")
    INTERNAL_ERROR = ("InternalError", 500, "We encountered an internal error, please try again.")
    INVALID_ARGUMENT = ("InvalidArgument", 400, "Invalid Argument")
    INVALID_CHUNKS = ("InvalidRequest", 400, "The aws-chunked encoding of the body is malformed.")
    INVALID_COPY = ("InvalidRequest", 400, "This copy request is illegal.")
    INVALID_RANGE = ("InvalidRange", 416, "The requested range is not satisfiable")
    MALFORMED_DATE = ("MalformedDate", 400, "Invalid date format, expected YYYYMMDD'T'HHMMSS'Z'.")
    MALFORMED_XML = ("MalformedXML", 400, "The XML you provided was not well-formed or is not what was expected.")
    METADATA_TOO_LARGE = ("MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size")
    MISSING_DATE = ("AccessDenied", 400, "AWS authentication requires an x-amz-date header")
    MISSING_FIELDS = (
        "MissingFields",
        400,
        "Missing fields in request: it must carry a signature of version 4, or 2 in a header.",
    )
    NOT_IMPLEMENTED = ("NotImplemented", 501, "A header you provided implies functionality that is not implemented")
    NOT_SUPPORTED = ("ERRLakeFSNotSupported", 405, "This operation is not supported in LakeFS")
    NOT_YET_VALID = ("AccessDenied", 403, "Request is not valid yet")
    NO_SUCH_BUCKET = ("NoSuchBucket", 404, "The specified bucket does not exist")
    NO_SUCH_KEY = ("NoSuchKey", 404, "The specified key does not exist.")
    NO_SUCH_UPLOAD = ("NoSuchUpload", 404, "The multipart upload does not exist: never started, completed or aborted.")
    NO_SUCH_VERSION = ("NoSuchVersion", 404, "The bytes of this object are missing from the store.")
    PRECONDITION_FAILED = ("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold")
    PRESIGN_EXPIRED = ("AccessDenied", 403, "Request has expired")
    PRESIGN_MALFORMED = (
        "AuthorizationQueryParametersError",
        400,
        "The query parameters of the signature are malformed.",
    )
    READ_ONLY_REPOSITORY = ("ErrReadOnlyRepository", 403, "Attempted to write to a read-only repository")
    REQUEST_TIME_TOO_SKEWED = (
        "RequestTimeTooSkewed",
        403,
        "The difference between the request time and the server's time is too large.",
    )
    SERVICE_UNAVAILABLE = ("ServiceUnavailable", 503, "Please send the request again.")
    SIGNATURE_DOES_NOT_MATCH = (
        "SignatureDoesNotMatch",
        403,
        "The signature we calculated does not match the one you provided. Check your key and signing method.",
    )
    STORAGE_FULL = ("InsufficientStorage", 507, "No space left on the disk of the lake.")
    WRITE_TO_PROTECTED_BRANCH = ("ErrWriteToProtectedBranch", 403, "Attempted to write to a protected branch")
    WRONG_ENDPOINT = (
        "ErrNoSuchBucketPossibleAPIEndpoint",
        404,
        'Repository "api" not found; an S3 endpoint URL must not end in "/api/v1".',
    )

    @property
    def code(self) -> str:
        """The name on the wire."""
        return self.value[0]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[1]

    @property
    def message(self) -> str:
        """What to say when the place of the error knows nothing more."""
        return self.value[2]


class S3Error(Exception):
    """A request to the gateway that is refused."""

    def __init__(self, code: S3Code, message: str | None = None) -> None:
        self.code = code
        super().__init__(message or code.message)
