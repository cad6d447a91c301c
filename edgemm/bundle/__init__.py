"""The bundle: everything a device needs to run a model, in one folder or one zip, each file hashed. Torch-free."""
