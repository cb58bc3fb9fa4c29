/* The peer of the compiled policy: the same folded network and sampler in plain C, nothing tuned by hand.

   Compiled at run time for one shape: WIDTH, FEATURE, SAMPLE, BLOCK, EVALUATION and ROWS (numbers of the chunk
   that are quoted) are macros; BY_COLUMNS says in which order the matrices lie. See peer.py. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef struct {
    const float *steps, *input_sample, *input_features, *input_bias, *weight_1, *weight_2;
    const float *modulation, *output_weight, *output_scale, *output_bias;
    float start;
} Network;

static inline void product(const float *restrict weight, const float *restrict x, const float *restrict bias,
                           float *restrict out, int columns) {
#ifdef BY_COLUMNS
    float total[WIDTH];
    for (int row = 0; row < WIDTH; row++) total[row] = bias[row];
    for (int column = 0; column < columns; column++)
        for (int row = 0; row < WIDTH; row++) total[row] += weight[column * WIDTH + row] * x[column];
    for (int row = 0; row < WIDTH; row++) out[row] = total[row];
#else
    for (int row = 0; row < WIDTH; row++) {
        float total = 0.0f;
        for (int column = 0; column < columns; column++) total += weight[row * columns + column] * x[column];
        out[row] = total + bias[row];
    }
#endif
}

static inline void norm(const float *restrict x, const float *restrict scale, float *restrict out) {
    float mean = 0.0f, squares = 0.0f;
    for (int i = 0; i < WIDTH; i++) mean += x[i];
    mean /= WIDTH;
    for (int i = 0; i < WIDTH; i++) squares += (x[i] - mean) * (x[i] - mean);
    float factor = 1.0f / sqrtf(squares / WIDTH + 1e-6f);
    for (int i = 0; i < WIDTH; i++) out[i] = (x[i] - mean) * factor * scale[i];
}

/* From standardised features to the first ROWS numbers of a chunk that is begun without noise. */
void sample(const Network *n, const float *features, float *x) {
    static const float zeros[WIDTH];
    float base[WIDTH], hidden[WIDTH], inner[WIDTH], outer[WIDTH], point[SAMPLE], velocity[SAMPLE];
    memset(x, 0, SAMPLE * sizeof(float));
    product(n->input_features, features, n->input_bias, base, FEATURE);
    for (int asked = 0; asked < EVALUATION; asked++) {
        const float *vector = n->modulation + asked * BLOCK * 4 * WIDTH, *step = n->steps + 4 * asked;
        int rows = asked == EVALUATION - 1 ? ROWS : SAMPLE;
        if (asked) product(n->input_sample, point, base, hidden, SAMPLE);
        else memcpy(hidden, base, sizeof hidden);
        for (int block = 0; block < BLOCK; block++, vector += 4 * WIDTH) {
            norm(hidden, vector, inner);
            product(n->weight_1 + block * WIDTH * WIDTH, inner, vector + WIDTH, outer, WIDTH);
            for (int i = 0; i < WIDTH; i++) outer[i] = outer[i] / (1.0f + expf(-outer[i]));
            product(n->weight_2 + block * WIDTH * WIDTH, outer, zeros, inner, WIDTH);
            for (int i = 0; i < WIDTH; i++)
                hidden[i] += vector[2 * WIDTH + i] * inner[i] + vector[3 * WIDTH + i];
        }
        norm(hidden, n->output_scale + asked * WIDTH, inner);
        for (int row = 0; row < rows; row++) {
            float total = 0.0f;
            for (int i = 0; i < WIDTH; i++) total += n->output_weight[row * WIDTH + i] * inner[i];
            velocity[row] = total + n->output_bias[asked * SAMPLE + row];
        }
        for (int row = 0; row < rows; row++) {
            point[row] = step[2] * x[row] + step[3] * velocity[row];
            x[row] = step[0] * x[row] + step[1] * velocity[row];
        }
    }
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Write the time of each of so many calls, nanoseconds. */
void time_calls(const Network *n, const float *features, float *x, int64_t calls, int64_t *taken) {
    for (int64_t i = 0; i < calls; i++) {
        int64_t started = now();
        sample(n, features, x);
        taken[i] = now() - started;
    }
}
