from iscc_lidar.api.cache import Cache as Cache
from iscc_lidar.api.cache import CachedSequence as CachedSequence
from iscc_lidar.api.cache import CachedSweep as CachedSweep
from iscc_lidar.api.functions import group as group
from iscc_lidar.api.functions import load_encoder as load_encoder
from iscc_lidar.api.functions import load_model as load_model
from iscc_lidar.api.functions import open_cache as open_cache
from iscc_lidar.api.functions import preprocess as preprocess
from iscc_lidar.api.functions import pretrain as pretrain
from iscc_lidar.api.functions import spread_labels as spread_labels
from iscc_lidar.api.networks import DetectedBoxes as DetectedBoxes
from iscc_lidar.api.networks import Detector as Detector
from iscc_lidar.api.networks import Encoder as Encoder
from iscc_lidar.api.networks import Segmenter as Segmenter
from iscc_lidar.shared.base.errors import UserError as UserError
from iscc_lidar.shared.cache.spread_labels import SpreadLabels as SpreadLabels

__version__: str
