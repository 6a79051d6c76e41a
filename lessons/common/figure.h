/* figure.h: drawing the lessons' figures with cairo: boxes, arrows, matrices with their numbers, bars, line charts, text.
 *
 * A lesson's figure.c is a program of its own. It computes the numbers that it draws, or takes them from the engine; none is typed in as a result:
 *
 *     int main(int argc, char **argv) {
 *         Figure *f = figure_open(argc, argv, 720, 300);
 *         figure_text(f, 24, 32, FIGURE_LARGE, FIGURE_LEFT, INK_DARK, "One token, %d experts", experts);
 *         ...
 *         return figure_close(f);
 *     }
 *
 * Units are pixels, x to the right, y down; a text's y is its baseline. The card is white with a hairline around it, so that it reads on light and
 * dark pages. Texts stand above all shapes, and stay text in the SVG, of the width that cairo measured: the figure looks the same with any font, and
 * the test can hold the committed file's texts against the program's.
 */
#ifndef MOE_LESSONS_FIGURE_H
#define MOE_LESSONS_FIGURE_H

#include "base/base.h"

typedef struct Figure Figure;
typedef uint32_t Ink; /* 0xRRGGBB */

#define INK_DARK 0x1f252eu  /* what is read first */
#define INK_GREY 0x5b6472u  /* labels */
#define INK_PALE 0xd5dae1u  /* hairlines, axes */
#define INK_PAPER 0xf3f5f8u /* boxes */
#define INK_WHITE 0xffffffu
#define INK_GREEN 0x009e73u  /* sparse, right, kept */
#define INK_ORANGE 0xd55e00u /* dense, wrong, dropped */
#define INK_BLUE 0x0072b2u
Ink figure_expert(size_t expert);             /* Okabe and Ito's eight colours, as in the window; always write the number beside */
Ink figure_tint(Ink ink, double strength);    /* mixed with white: 0 is white, 1 the ink. For fills behind dark numbers */

#define FIGURE_LARGE 17.0 /* titles */
#define FIGURE_NORMAL 13.0
#define FIGURE_SMALL 11.0
typedef enum { FIGURE_LEFT, FIGURE_MIDDLE, FIGURE_RIGHT } FigureAlign; /* of the text at its x */

Figure *figure_open(int argc, char **argv, double width, double height); /* argv[1] is the SVG's path */
int figure_close(Figure *f);                                             /* writes the file; the exit code of main */

void figure_text(Figure *f, double x, double y, double size, FigureAlign align, Ink ink, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
void figure_bold(Figure *f, bool bold); /* for the texts that follow */
double figure_text_width(Figure *f, double size, const char *text);

/* A rounded box with a label in its middle; the label may have several lines (\n) or be "". */
void figure_box(Figure *f, double x, double y, double width, double height, Ink fill, Ink border, const char *label);
void figure_line(Figure *f, double x0, double y0, double x1, double y1, double thickness, Ink ink);
void figure_dash(Figure *f, bool dashed); /* for the lines and arrows that follow */
void figure_arrow(Figure *f, double x0, double y0, double x1, double y1, double thickness, Ink ink); /* the head is at (x1,y1) */
void figure_circle(Figure *f, double x, double y, double radius, Ink fill, Ink border);

/* Cells of (rows,columns) numbers, printed by `format` (one double, such as "%.2f"); `fills` (rows,columns) colours the cells, NULL is paper.
 * The name stands above: "x (3,2)" is written by you. Height is rows·cell_height, width columns·cell_width. */
void figure_matrix(Figure *f, double x, double y, double cell_width, double cell_height, const char *name, const char *format, const real *values,
                   const Ink *fills, size_t rows, size_t columns);
void figure_ids(Figure *f, double x, double y, double cell_width, double cell_height, const char *name, const int32_t *ids, const Ink *fills,
                size_t rows, size_t columns); /* -1 is an empty cell */

/* Upright bars from 0 to `top` (0: the largest) with a label under each (labels may be NULL) and its value above, printed by `format`. */
void figure_bars(Figure *f, double x, double y, double width, double height, const double *values, const char *const *labels, const Ink *inks,
                 size_t count, double top, const char *format);

/* A line chart: axes with a few ticks and their names; then any number of series, named in a legend at the right of the chart. */
typedef struct { double x, y, width, height, x_min, x_max, y_min, y_max; size_t series; bool x_log; } FigureChart;
void figure_chart(Figure *f, FigureChart *chart, const char *x_name, const char *y_name); /* draws axes; fill all fields but series first */
void figure_series(Figure *f, FigureChart *chart, const double *xs, const double *ys, size_t count, Ink ink, const char *name);

#endif
