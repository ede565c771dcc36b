"""Programs run from an image: its root file system, the gateway, its tests."""
