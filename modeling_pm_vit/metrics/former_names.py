"""Former names of metrics and of their values, which records, results and configs on disk may still have."""

RENAMED_METRICS = {"own_object": "on_target_mass"}
RENAMED_VALUES = {"own_object": "on_target_mass", "energy_inside": "energy_pointing_game"}
