"""Where the sweeps of a folder are: sequences, their sweeps in order, and the files that belong to them."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from iscc_lidar.preprocess.datasets._files import existing, visible_files
from iscc_lidar.preprocess.datasets._folder.bags import is_bag, open_topic, transforms_of
from iscc_lidar.preprocess.datasets._folder.merged import EXTRINSICS_FILE, merge, read_extrinsics
from iscc_lidar.preprocess.datasets._folder.options import AUTO, FolderOptions
from iscc_lidar.preprocess.datasets._folder.source import Source
from iscc_lidar.preprocess.datasets._folder.times import Times, sorted_names, times_of
from iscc_lidar.preprocess.datasets._folder.tracks import Track, cached_track, find_pose_file
from iscc_lidar.preprocess.datasets._points.columns import Columns
from iscc_lidar.preprocess.datasets._points.formats import SUFFIXES, count_points, read_points
from iscc_lidar.shared.base import files
from iscc_lidar.shared.base.errors import UserError
from iscc_lidar.shared.base.names import name_fault
from iscc_lidar.shared.base.text import one_line


@dataclass(frozen=True)
class FileSource:
    """Sweeps that are a file each.

    Attributes:
        name: of the sequence, that of its folder.
        folders: where files that belong to it are looked for: that of its sweeps, and the one above if they lie in its
            only folder.
        names: of the files in order, without suffix.
        suffix: of the files.
    """

    name: str
    folders: tuple[Path, ...]
    names: tuple[str, ...]
    suffix: str

    @property
    def watched(self) -> tuple[Path, ...]:
        """No files: all are digested."""
        return ()

    def file(self, index: int) -> Path:
        """Return the file of a sweep."""
        return self.folders[0] / f"{self.names[index]}{self.suffix}"

    def describe(self, index: int) -> str:
        """Return the file of a sweep."""
        return str(self.file(index))

    def files(self, index: int) -> tuple[Path, ...]:
        """Return the files that a sweep depends on, as far as they exist."""
        poses = find_pose_file(self.folders, self.name)
        others = [self.label_file(index), poses, poses.with_name("calib.txt") if poses else None]
        others += [folder / "times.txt" for folder in self.folders]
        return existing([self.file(index), *(file for file in others if file is not None)])

    def label_file(self, index: int) -> Path | None:
        """Find the file with a sweep's labels: NAME.label next to the sweep, or in a folder labels."""
        name = f"{self.names[index]}.label"
        places = [folder / sub / name for folder in self.folders for sub in (".", "labels")]
        return next((file for file in places if file.is_file()), None)

    def times(self, options: FolderOptions) -> Times:
        """Return the times of the sweeps, by times.txt or by their names."""
        files = [folder / "times.txt" for folder in self.folders]
        file = next((file for file in files if file.is_file()), files[0])
        return times_of(self.names, file, options.rate_hz)

    def count(self, index: int, options: FolderOptions) -> int:
        """Count the points of a sweep by its file's header and size."""
        return count_points(self.file(index), *self._rows(index, options))

    def read(self, index: int, options: FolderOptions) -> Columns:
        """Read a sweep's file."""
        return read_points(self.file(index), *self._rows(index, options))

    def find_track(self, options: FolderOptions) -> Track | None:
        """Read the file of poses, if there is one."""
        file = find_pose_file(self.folders, self.name)
        return None if file is None else track_of(file, self, options)

    def _rows(self, index: int, options: FolderOptions) -> tuple[tuple[str, ...], str]:
        """Return names and type of the columns of files of bare numbers."""
        if self.suffix.lower() == ".bin" and options.columns == AUTO:
            raise UserError(f"{self.file(index)}: its columns are not known; pass --data columns=x,y,z,intensity")
        return options.column_names, "float32" if options.number_type == AUTO else options.number_type


def track_of(file: Path, source: Source, options: FolderOptions) -> Track:
    """Read a file of poses for the sweeps of a sequence. Raises UserError where it is missing or does not fit them."""
    try:
        return cached_track(file, files.version(file), source.names, source.times(options))
    except OSError:
        raise UserError(f"{file}: no such file; expected the poses of sequence {source.name}") from None


def find_sequences(root: Path, options: FolderOptions) -> dict[str, Path]:
    """Find bags and folders of sweeps by the name of their sequence: ``root``, or what is in it, or its only folder."""
    if is_bag(root):
        return {root.resolve().stem: root}
    if _suffixes(root, options) or (root / EXTRINSICS_FILE).is_file():
        return {root.resolve().name or "sweeps": root}
    bags = [path for path in sorted(visible_files(root, "*")) if is_bag(path)] if root.is_dir() else []
    found = {path.stem if path.is_file() else path.name: path for path in bags}
    if len(found) < len(bags):
        raise UserError(f"{root}: contains two bags of one name; rename one")
    for folder in sorted(visible_files(root, "*")) if root.is_dir() else ():
        if folder in bags:
            continue
        if (folder / EXTRINSICS_FILE).is_file():
            found[folder.name] = folder
            continue
        below = [folder, *sorted(visible_files(folder, "*"))] if folder.is_dir() else []
        with_sweeps = [place for place in below if place.is_dir() and _suffixes(place, options)]
        if len(with_sweeps) > 1:
            raise UserError(
                f"{with_sweeps[0]} and {with_sweeps[1]}: both contain sweeps; expected those of one sequence in one "
                "folder: pass the folder above the sequences as ROOT"
            )
        if with_sweeps:
            found[folder.name] = with_sweeps[0]
    return found


def open_source(root: Path, name: str, options: FolderOptions) -> Source:
    """Open a sequence below ``root``. Raises UserError for files of several formats, and names that are not plain."""
    found = find_sequences(root, options)
    if name not in found:
        raise UserError(f"{root}: contains no sequence {name} (it has {', '.join(sorted(found)[:8]) or 'none'})")
    folder = found[name]
    if is_bag(folder):
        return _open_bag(name, folder, options)
    if not (folder / EXTRINSICS_FILE).is_file():
        return _open_files(name, folder, root, options.format)
    lidars = read_extrinsics(folder / EXTRINSICS_FILE)
    sources: list[Source] = [_open_files(name, folder / lidar, root, options.format) for lidar in lidars]
    return merge(sources, list(lidars.values()), folder / EXTRINSICS_FILE)


def _open_bag(name: str, path: Path, options: FolderOptions) -> Source:
    """Open the topic of a bag, or several, separated by commas, as LiDARs that tf links."""
    topics = [topic.strip() for topic in options.topic.split(",")]
    sources = [open_topic(name, path, topic) for topic in topics]
    if len(sources) == 1:
        return sources[0]
    transforms = transforms_of(path)
    first = sources[0].frame.lstrip("/")
    return merge(list(sources), [transforms.between(first, source.frame.lstrip("/")) for source in sources])


@functools.lru_cache(maxsize=256)
def _open_files(name: str, folder: Path, root: Path, wanted: str) -> FileSource:
    suffixes = _suffixes(folder, FolderOptions(format=wanted))
    if len(suffixes) > 1:
        counted = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common())
        raise UserError(f"{folder}: contains files of several formats ({counted}); pass one as --data format=pcd")
    if not suffixes:
        raise UserError(f"{folder}: contains no sweep ({', '.join(SUFFIXES)})")
    suffix = next(iter(suffixes))
    names = [file.name.removesuffix(suffix) for file in visible_files(folder, "*") if file.suffix == suffix]
    for stem in names:
        if fault := name_fault(stem):
            raise UserError(f"{folder}: the name of '{one_line(stem)}{suffix}' {fault}; rename it")
    folders = (folder,) if folder in (root, root / name) else (folder, folder.parent)
    return FileSource(name, folders, tuple(sorted_names(names)), suffix)


def _suffixes(folder: Path, options: FolderOptions) -> Counter[str]:
    """Count the files of each format in a folder."""
    wanted = SUFFIXES if options.format == AUTO else (f".{options.format.lower().lstrip('.')}",)
    if options.format != AUTO and wanted[0] not in SUFFIXES:
        raise UserError(f"--data format={options.format}: expected one of {', '.join(s[1:] for s in SUFFIXES)}")
    files = visible_files(folder, "*") if folder.is_dir() else ()
    return Counter(file.suffix for file in files if file.suffix.lower() in wanted and not file.is_dir())
