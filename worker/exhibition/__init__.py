"""What a run leaves for people: masks as files, pictures, the report page, the pack for a gallery."""
