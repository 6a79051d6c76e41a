/* scene_formulas.h: the tooltips that say how a number came about, with the numbers that went in. scene_tooltip.c calls them. */
#ifndef MOE_VIZ_SCENE_FORMULAS_H
#define MOE_VIZ_SCENE_FORMULAS_H

#include "viz/scene_parts.h"

void formula_score(Words *o, const DrawTag *tag, const Trace *t); /* TAG_PROB: what the expert was ranked by */
void formula_weight(Words *o, const DrawTag *tag, const Trace *t); /* TAG_ARC, TAG_PART: what the choice counts in the sum */
void formula_group(Words *o, const DrawTag *tag, const Trace *t);
void formula_hash(Words *o, const DrawTag *tag, const Trace *t);
void formula_mix(Words *o, const DrawTag *tag, const Trace *t);

#endif
