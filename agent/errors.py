"""The errors an operator can meet: each message is one line that names the thing and the mend."""


class DoorwardError(Exception):
    """Anything that keeps Doorward from its work and that an operator can mend."""


class ConfigError(DoorwardError):
    """The configuration, or what was typed on the command line, cannot be used."""


class ModelError(DoorwardError):
    """A model or its calibration is missing, altered or not the one that was declared."""


class StoreError(DoorwardError):
    """The database cannot be read, written or trusted."""


class DeviceError(DoorwardError):
    """The camera, the relay, the broker or another device does not do its part."""


class DamagedStoreError(StoreError):
    """The database holds what Doorward never wrote: it is to be set aside, not to be mended."""


class FullDiskError(StoreError):
    """There is no room to write: something must be freed."""
