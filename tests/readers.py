"""Everything that reads a file from outside."""

from classify_readers import CLASSIFY_READERS
from reading import Reader
from shared_readers import SHARED_READERS
from synth_readers import SYNTH_READERS

from shared.errors import UserError
from shared.images import BadPhotoError
from stylegan2_ada import NetworkFileError
from synth.service.audit_log import AuditError

ALLOWED = (UserError, BadPhotoError, NetworkFileError, AuditError)  # of one sentence
READERS: dict[str, Reader] = SHARED_READERS | SYNTH_READERS | CLASSIFY_READERS
