/* fonts.h: text in letters: which font has a character, how wide it is, and how it gets onto a surface. Only paint.c calls it.
 *
 * cairo's simple text draws a box where its font lacks a character. Here each character is looked up: in the scene's own font, then in any
 * installed one that has it (asked of fontconfig), and where there is none its number stands as text, \u{4E2D}. Measuring and drawing share
 * the look-up, so a layout holds whatever fonts there are. No shaping: scripts that join their letters stand unjoined.
 */
#ifndef MOE_VIZ_FONTS_H
#define MOE_VIZ_FONTS_H

#include <cairo.h>

#include "viz/draw.h"

void fonts_open(void); /* more than once is fine; one thread at a time */
void fonts_close(void);
bool fonts_found(void); /* false: there is no font at all, and cairo's own letters, ASCII alone, stand in */
cairo_font_options_t *fonts_options(void); /* the caller destroys */
double fonts_width(const char *text, size_t bytes, double size, Font font);
void fonts_show(cairo_t *cr, const char *text, double x, double y, double size, Font font); /* baseline at y, in the current colour */

#endif
