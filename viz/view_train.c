/* view_train.c: what keys and clicks change on the Train view. Enters: a view that borrows Lanes. Leaves: the view with other wishes; nothing
 * trains here. Next: the window hands the wishes to lanes_run.c, the scene shows them. */
#include "viz/scene_train.h"

#include <math.h>

/* The weight that a lane has now, or will have with the next step. */
static double weight_now(const View *v, size_t lane) {
    if (!isnan(v->lane_wish[lane])) return v->lane_wish[lane];
    const Lane *data = &v->lanes->lane[lane];
    return data->count > 0 ? data->steps[data->count - 1].weight : lane_weight_of(&data->config);
}

void view_choose_lane(View *v, int by) { v->lane = by > 0 ? 1 : 0; }

void view_choose_lane_layer(View *v, int by) {
    if (v->lanes == NULL) return;
    const size_t ways = v->lanes->layers + 1;
    v->lane_layer = (v->lane_layer % ways + (by > 0 ? 1 : ways - 1)) % ways;
}

void view_toggle_balance(View *v, size_t lane) {
    if (v->lanes == NULL || lane >= LANE_COUNT) return;
    v->lane = lane;
    const double now = weight_now(v, lane), set = lane_weight_of(&v->lanes->lane[lane].config);
    const double other = lane_weight_of(&v->lanes->lane[1 - lane].config), usual = lane_by_bias(&v->lanes->lane[lane].config) ? 0.01 : 0.1;
    if (now > 0) v->lane_on[lane] = now;
    v->lane_wish[lane] = now > 0 ? 0 : v->lane_on[lane] > 0 ? v->lane_on[lane] : set > 0 ? set : other > 0 ? other : usual;
}

void view_change_balance(View *v, size_t lane, int by) {
    if (v->lanes == NULL || lane >= LANE_COUNT) return;
    v->lane = lane;
    v->lane_wish[lane] = lane_weight_step(&v->lanes->lane[lane].config, weight_now(v, lane), by);
}

void view_train_go(View *v, size_t step) {
    v->time_ms = ((double)step - 1) * TRAIN_STEP_MS;
    v->playing = false;
    v->stop_ms = -1;
}
