from collections.abc import Sequence

import cv2
import numpy as np


def colorize(label: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Paint class ids.

    Args:
        label (np.ndarray): (H, W) integer; ids without a colour, such as 255, become black.
        palette (Sequence): RGB colour of each class.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.
    """
    colors = np.zeros((256, 3), dtype=np.uint8)
    colors[: len(palette)] = palette
    return colors[np.where((label >= 0) & (label < len(palette)), label, 255).astype(np.uint8)]


def three_channels(image: np.ndarray) -> np.ndarray:
    """Give what can be shown of images, (..., H, W, C): gray three times, or the first three channels."""
    return image[..., :3] if image.shape[-1] >= 3 else image[..., [0, 0, 0]]


def heat(values: np.ndarray) -> np.ndarray:
    """Paint values in [0, 1] from dark (0) to bright (1); (H, W) to (H, W, 3) uint8, RGB."""
    gray = (values.clip(0, 1) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(gray, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def panel(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], min_width: int = 192, max_width: int | None = None
) -> np.ndarray:
    """Lay out pictures in rows under a line of titles.

    Args:
        rows (Sequence[Sequence[np.ndarray]]): Pictures, (H, W, 3) uint8, RGB, as many a row as titles.
        titles (Sequence[str]): Title of each column.
        min_width (int): Where all pictures are smaller, they are enlarged by a whole factor to at least this width in
            pixels.
        max_width (int, optional): Where one is larger, all are reduced by the factor that takes it to this width.

    Returns:
        np.ndarray: One picture, (H', W', 3) uint8, RGB.
    """
    gap, header, white = 6, 26, 255
    height, width = (max(picture.shape[axis] for row in rows for picture in row) for axis in (0, 1))
    factor = -(-min_width // width) if max_width is None or width <= max_width else max_width / width
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    height, width = round(factor * height), round(factor * width)
    canvas = np.full((header + len(rows) * (height + gap), len(titles) * (width + gap) + gap, 3), white, dtype=np.uint8)
    for column, title in enumerate(titles):
        left = gap + column * (width + gap)
        cv2.putText(canvas, title, (left + 2, header - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
        for row, pictures in enumerate(rows):
            top = header + row * (height + gap)
            picture = cv2.resize(pictures[column], None, fx=factor, fy=factor, interpolation=method)
            canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas
