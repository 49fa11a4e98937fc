-- The project of one folder. Read and written by segmix_core.project only.
-- Rows of sources, images and tiles are never deleted: undoing hides, redoing shows.

CREATE TABLE class (
    idx INTEGER PRIMARY KEY CHECK (idx BETWEEN 1 AND 250),  -- value in masks, 1..C without gaps
    name TEXT NOT NULL UNIQUE,
    color TEXT NOT NULL,                -- "#rrggbb"
    since INTEGER NOT NULL              -- journal entry that added it; 0: there from the start
) STRICT;

CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('slide', 'folder')),
    path TEXT NOT NULL,                 -- relative to the project folder where near it
    name TEXT NOT NULL,
    tile_px INTEGER NOT NULL CHECK (tile_px > 0),       -- working pixels
    stride_px INTEGER NOT NULL CHECK (stride_px > 0),   -- working pixels
    mpp REAL CHECK (mpp > 0),           -- wanted micrometres per working pixel, or NULL
    shown INTEGER NOT NULL CHECK (shown IN (0, 1))      -- 0: its addition is undone
) STRICT;

CREATE TABLE image (
    id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES source (id),
    path TEXT NOT NULL,
    height INTEGER NOT NULL CHECK (height > 0),         -- level-0 pixels
    width INTEGER NOT NULL CHECK (width > 0),
    mpp_y REAL CHECK (mpp_y > 0),       -- micrometres per level-0 pixel, or NULL
    mpp_x REAL CHECK (mpp_x > 0),
    downsample REAL NOT NULL CHECK (downsample >= 1),   -- level-0 pixels per working pixel
    grp TEXT NOT NULL,                  -- patient or case; never crosses splits
    split TEXT NOT NULL CHECK (split IN ('train', 'val', 'test')),
    file_size INTEGER,                  -- the file when it was added or accepted, or NULL
    file_mtime_ns INTEGER,
    file_digest TEXT,
    bounds TEXT                         -- JSON [y, x, height, width] marked by the scanner, or NULL
) STRICT;
CREATE INDEX image_source ON image (source_id);

CREATE TABLE tile (
    id INTEGER PRIMARY KEY,
    image_id INTEGER NOT NULL REFERENCES image (id),
    row INTEGER NOT NULL,               -- place in the tile grid of the image
    col INTEGER NOT NULL,
    y INTEGER NOT NULL,                 -- box in level-0 pixels
    x INTEGER NOT NULL,
    height INTEGER NOT NULL CHECK (height > 0),
    width INTEGER NOT NULL CHECK (width > 0),
    labels BLOB NOT NULL CHECK (length(labels) <= 250), -- one int8 LabelState per class; what is missing is unknown
    review INTEGER NOT NULL CHECK (review BETWEEN 0 AND 2),     -- Review
    shown INTEGER NOT NULL CHECK (shown IN (0, 1))      -- 0: replaced by other tiles
) STRICT;
CREATE INDEX tile_image ON tile (image_id);

-- Where a slide has tissue, at low resolution: its tiles are cut there.
CREATE TABLE tissue (
    image_id INTEGER PRIMARY KEY REFERENCES image (id),
    downsample REAL NOT NULL CHECK (downsample >= 1),   -- level-0 pixels per pixel of the mask
    min_share REAL NOT NULL CHECK (min_share BETWEEN 0 AND 1),  -- of a tile, that is tissue
    width INTEGER NOT NULL CHECK (width BETWEEN 1 AND 8192),    -- pixels of a row of the mask
    mask BLOB NOT NULL                  -- zlib of an .npy array: eight pixels a byte, row by row
) STRICT;

-- Corrected mask pixels on the working grid of an image, in squares of 512 pixels.
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY,
    image_id INTEGER NOT NULL REFERENCES image (id),
    row INTEGER NOT NULL CHECK (row >= 0),
    col INTEGER NOT NULL CHECK (col >= 0),
    top_class INTEGER NOT NULL,         -- the largest class index in it; 0: none
    pixels BLOB NOT NULL                -- zlib of 512 x 512 uint8; 254: not corrected
) STRICT;
CREATE UNIQUE INDEX chunk_place ON chunk (image_id, row, col);

CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,                 -- seconds since the epoch
    action TEXT NOT NULL CHECK (action IN ('do', 'undo', 'redo')),
    target INTEGER NOT NULL,            -- the 'do' entry this is, undoes or redoes
    parent INTEGER NOT NULL,            -- the 'do' entry of the scope in force before the target; 0: none
    scope TEXT NOT NULL CHECK (scope IN ('labels', 'masks', '')),   -- what is undone together; '': never undone
    kind TEXT NOT NULL,                 -- ChangeKind
    description TEXT NOT NULL,          -- a sentence for the user
    image_ids TEXT NOT NULL,            -- JSON list
    box TEXT                            -- JSON [y, x, height, width] on the working grid, or NULL
) STRICT;
CREATE INDEX journal_parent ON journal (scope, parent, id) WHERE action = 'do';
CREATE INDEX journal_scope ON journal (scope, id);
CREATE INDEX journal_kind ON journal (kind);

CREATE TABLE part (
    id INTEGER PRIMARY KEY,
    entry_id INTEGER NOT NULL REFERENCES journal (id),
    kind TEXT NOT NULL,                 -- PartKind
    keys BLOB NOT NULL,                 -- what changed: zlib of an .npy array
    before BLOB NOT NULL,
    after BLOB NOT NULL
) STRICT;
CREATE INDEX part_entry ON part (entry_id);

CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL                 -- JSON
) STRICT;
