"""What the API answers, as typed models: the one place where field names and units are decided.

Times with `_at` are ISO 8601 in UTC; `_s` are seconds, `_bytes` bytes, `_bps` bits per second. Text that came from
outside (agents, titles, engine messages) is bounded and without control characters, but must be escaped where shown.
"""

from aceproxy.web.models.access import (
    NewToken,
    PasswordAnswer,
    SecretReplaced,
    SessionAnswer,
    SignedOut,
    TokenModel,
    TokenRevoked,
    Tokens,
)
from aceproxy.web.models.base import ErrorAnswer, ErrorBody, Model
from aceproxy.web.models.engines import EngineAnswer, EngineExperience, EngineModel, EngineRemoved, Engines
from aceproxy.web.models.past import (
    Forgotten,
    HistoryAnswer,
    HistoryDetail,
    LinkEngine,
    LinkQuality,
    Links,
    StoreModel,
)
from aceproxy.web.models.playing import (
    FileModel,
    Files,
    RecordingEnded,
    RecordingList,
    RecordingModel,
    SessionModel,
    Sessions,
)
from aceproxy.web.models.settings import SettingModel, SettingsAnswer, SettingsChanged
from aceproxy.web.models.state import Health, LogTail, Ready, Stats, StatusAll, StatusOne
from aceproxy.web.models.streams import (
    Kicked,
    Overview,
    Stopped,
    StreamAnswer,
    StreamEvent,
    Streams,
    TimelineAnswer,
    TimelineNews,
)

__all__ = [
    "EngineAnswer",
    "EngineExperience",
    "EngineModel",
    "EngineRemoved",
    "Engines",
    "ErrorAnswer",
    "ErrorBody",
    "FileModel",
    "Files",
    "Forgotten",
    "Health",
    "HistoryAnswer",
    "HistoryDetail",
    "Kicked",
    "LinkEngine",
    "LinkQuality",
    "Links",
    "LogTail",
    "Model",
    "NewToken",
    "Overview",
    "PasswordAnswer",
    "Ready",
    "RecordingEnded",
    "RecordingList",
    "RecordingModel",
    "SecretReplaced",
    "SessionAnswer",
    "SessionModel",
    "Sessions",
    "SettingModel",
    "SettingsAnswer",
    "SettingsChanged",
    "SignedOut",
    "Stats",
    "StatusAll",
    "StatusOne",
    "Stopped",
    "StoreModel",
    "StreamAnswer",
    "StreamEvent",
    "Streams",
    "TimelineAnswer",
    "TimelineNews",
    "TokenModel",
    "TokenRevoked",
    "Tokens",
]
