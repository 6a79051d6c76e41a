/* paint.h: a draw list onto pixels or into a file. Only paint.c and fonts.c include cairo.
 *
 * Who calls what: the window calls paint_pixels on its surface's memory for each frame that changed; record calls it on a buffer
 * of its own and writes the bytes to ffmpeg (`-f rawvideo -pix_fmt bgra` on little-endian machines); stills call paint_file.
 */
#ifndef MOE_VIZ_PAINT_H
#define MOE_VIZ_PAINT_H

#include "viz/draw.h"

TextMeasure paint_measure(void); /* widths of the font that paint uses; one thread at a time */
bool paint_has_font(void);        /* false: no font is installed, and text is drawn with cairo's own letters, ASCII alone */
void paint_close(void);          /* gives fonts back, so that leak checkers stay quiet; nothing is painted afterwards */

/* pixels (height_px, stride_bytes): 32-bit, 0xAARRGGBB in native byte order (cairo's ARGB32, SDL's ARGB8888 and RGB888).
 * stride_bytes is a multiple of 4. Every pixel is overwritten, alpha is 255. */
Status paint_pixels(unsigned char *pixels, int width_px, int height_px, int stride_bytes, const DrawList *list, Fault *f);

/* By the name's ending: .png, .svg or .pdf; anything else is STATUS_USAGE and names the three. Temporary file, then renamed. */
Status paint_file(const char *path, const DrawList *list, Fault *f);

#endif
