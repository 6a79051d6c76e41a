/* style.h: the colours. Dark and quiet; a hue always means something, and never stands alone: experts carry their number, loads their
 * value. Experts: the eight colours of Okabe and Ito (2008), made for colour-blind readers. Load: diverging around "even". */
#ifndef MOE_VIZ_STYLE_H
#define MOE_VIZ_STYLE_H

#include "viz/view.h"

#define INK_BACK 0xff0e1116u   /* behind everything */
#define INK_PANEL 0xff161a21u  /* panels */
#define INK_CARD 0xff1f252eu   /* cards on a panel */
#define INK_WELL 0xff0a0d11u   /* tracks that bars fill */
#define INK_LINE 0xff2c333eu   /* hairlines */
#define INK_TEXT 0xfff2f4f7u   /* what is read first */
#define INK_SOFT 0xffaab2bfu   /* labels */
#define INK_FAINT 0xff717a88u  /* axes and hints */
#define INK_WHITE 0xffffffffu
#define INK_WARN 0xfff2606eu   /* overflow and drops: no expert has it */
#define INK_NOTE 0xffe69f00u   /* simulated */
#define INK_GOOD 0xff009e73u   /* sparse */
#define INK_DENSE 0xffd55e00u  /* dense */

Color style_expert(size_t expert);                       /* Okabe-Ito, repeating every eight */
Color style_load(Palette palette, double share_times_e); /* log2 clamped to −3..+3; 0 is the "never used" black */
Color style_mix(Color a, Color b, double t);             /* t = 0 is a */
Color style_alpha(Color c, double alpha);                /* multiplies the alpha */
double ease_out(double t);                               /* cubic; 0..1 → 0..1 */
double ease_in_out(double t);

#endif
