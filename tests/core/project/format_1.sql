-- The project of one folder. Read and written by segmix_core.project only.
-- Rows are never deleted, except classes whose addition is undone: undoing hides, redoing shows.

CREATE TABLE class (
    idx INTEGER PRIMARY KEY,            -- value in masks, 1..C without gaps
    name TEXT NOT NULL UNIQUE,
    color TEXT NOT NULL                 -- "#rrggbb"
);

CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,                 -- SourceKind
    path TEXT NOT NULL,                 -- relative to the project folder where near it
    name TEXT NOT NULL,
    tile_px INTEGER NOT NULL,           -- working pixels
    stride_px INTEGER NOT NULL,         -- working pixels
    mpp REAL,                           -- wanted micrometres per working pixel, or NULL
    shown INTEGER NOT NULL DEFAULT 1    -- 0: its addition is undone
);

CREATE TABLE image (
    id INTEGER PRIMARY KEY,
    source_id INTEGER NOT NULL REFERENCES source (id),
    path TEXT NOT NULL,
    height INTEGER NOT NULL,            -- level-0 pixels
    width INTEGER NOT NULL,
    mpp REAL,                           -- micrometres per level-0 pixel, or NULL
    downsample REAL NOT NULL,           -- level-0 pixels per working pixel
    grp TEXT NOT NULL,                  -- patient or case; never crosses splits
    split TEXT NOT NULL                 -- train, val or test
);
CREATE INDEX image_source ON image (source_id);

CREATE TABLE tile (
    id INTEGER PRIMARY KEY,
    image_id INTEGER NOT NULL REFERENCES image (id),
    row INTEGER NOT NULL,               -- place in the tile grid of the image
    col INTEGER NOT NULL,
    y INTEGER NOT NULL,                 -- box in level-0 pixels
    x INTEGER NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    labels BLOB NOT NULL DEFAULT x'',   -- one int8 LabelState per class; what is missing is unknown
    review INTEGER NOT NULL DEFAULT 0,  -- Review
    shown INTEGER NOT NULL DEFAULT 1    -- 0: replaced by other tiles
);
CREATE INDEX tile_image ON tile (image_id);

CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,                 -- seconds since the epoch
    action TEXT NOT NULL CHECK (action IN ('do', 'undo', 'redo')),
    target INTEGER NOT NULL,            -- the 'do' entry this is, undoes or redoes
    parent INTEGER NOT NULL,            -- the 'do' entry in force before the target; 0: none
    kind TEXT NOT NULL,                 -- ChangeKind
    description TEXT NOT NULL,          -- a sentence for the user
    image_ids TEXT NOT NULL,            -- JSON list
    box TEXT                            -- JSON [y, x, height, width] on the working grid, or NULL
);
CREATE INDEX journal_parent ON journal (parent, id) WHERE action = 'do';
CREATE INDEX journal_kind ON journal (kind);

CREATE TABLE part (
    id INTEGER PRIMARY KEY,
    entry_id INTEGER NOT NULL REFERENCES journal (id),
    kind TEXT NOT NULL,                 -- PartKind
    keys BLOB NOT NULL,                 -- what changed: zlib of an .npy array
    before BLOB NOT NULL,
    after BLOB NOT NULL
);
CREATE INDEX part_entry ON part (entry_id);

CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL                 -- JSON
);
