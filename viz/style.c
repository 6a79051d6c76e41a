/* style.c: colours and easing; constants stand in style.h. Enters: an expert's number, a load, a time. Leaves: a colour, a curve. */
#include "viz/style.h"

#include <math.h>

/* Okabe and Ito, "Color Universal Design" (2008); their black is light grey here, since the background is dark. */
static const Color okabe_ito[8] = {0xffe69f00, 0xff56b4e9, 0xff009e73, 0xfff0e442, 0xff0072b2, 0xffd55e00, 0xffcc79a7, 0xffc4c8ce};

Color style_expert(size_t expert) { return okabe_ito[expert % 8]; }

Color style_mix(Color a, Color b, double t) {
    if (!(t > 0)) return a;
    if (t >= 1) return b;
    Color mixed = 0;
    for (int shift = 0; shift < 32; shift += 8) {
        const double from = (double)((a >> shift) & 0xff), to = (double)((b >> shift) & 0xff);
        mixed |= (Color)lround(from + (to - from) * t) << shift;
    }
    return mixed;
}

Color style_alpha(Color c, double alpha) {
    if (!(alpha > 0)) return c & 0x00ffffffu;
    if (alpha > 1) alpha = 1;
    return (c & 0x00ffffffu) | (Color)lround((double)(c >> 24) * alpha) << 24;
}

Color style_load(Palette palette, double share_times_e) {
    static const Color low[PALETTES] = {0xff3b8eea, 0xff9a6fe0, 0xff20242b};
    static const Color even[PALETTES] = {0xff3a3f48, 0xff3a3f48, 0xff6f7682};
    static const Color high[PALETTES] = {0xfff5a524, 0xff35b779, 0xfff2f4f7};
    if (!(share_times_e > 0)) return 0xff000000;
    const double level = fmax(-1, fmin(1, log2(share_times_e) / 3));
    return level < 0 ? style_mix(even[palette], low[palette], -level) : style_mix(even[palette], high[palette], level);
}

double ease_out(double t) {
    const double left = 1 - fmax(0, fmin(1, t));
    return 1 - left * left * left;
}

double ease_in_out(double t) {
    const double at = fmax(0, fmin(1, t));
    return at < 0.5 ? 4 * at * at * at : 1 - 4 * (1 - at) * (1 - at) * (1 - at);
}
