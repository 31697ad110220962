"""What bench/ writes and visualize/ reads, copied by neither: columns, statuses, versions, names, margins."""
