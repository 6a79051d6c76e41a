/* 09_async_pipeline.cu: while one step is multiplied, the next three are on their way; and each thread makes 8 × 8 outputs.
 *
 *   changes  as the rung of this number of the experts' ladder: fetches go to shared memory by themselves (../async.h), four steps deep, and one barrier a
 *            step is left. A thread of rung 04 made 4 × 4 outputs of a square of 64; here it makes 8 × 8, so that 64 threads make the square, and the 256 of
 *            a block share out the terms of each sum: a quarter of every step each
 *   why      a block of rung 04 fetched, waited, multiplied, waited; and for 16 multiplications it read two vectors of shared memory, which can give half
 *            of that. Here it is four for 64. Larger squares would do as well, but a router's 64 columns are one, and a prompt then too few for a large
 *            GPU's processors
 *   enters   a (m,k); w (n,k), both float, with rows that are multiples of 16 bytes; what is aligned to less is rung 04's
 *   leaves   c (m,n)
 *   next     1_router.cu of a long prompt; every float product of more than 8 rows
 *   not      the tile itself: it is in pipeline_tile.h, where experts/06_grouped.cu finds it too. Nor the order of rung 04's sums; but one order for any m, n
 */
#include "cuda/products/pipeline_tile.h"
#include "cuda/products/products.h"

void async_pipeline_nt(Cuda *cuda, float *c, const float *a, CudaMatrix w, size_t m, size_t n, size_t k, MatmulMode mode) {
    if (PipelineTile::takes(a, static_cast<const float *>(w.at), k))
        launch_tiles<PipelineTile>(cuda, "product, async pipeline", c, a, w, m, n, k, mode);
    else
        register_tiles_nt(cuda, c, a, w, m, n, k, mode);
}
