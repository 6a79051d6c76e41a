/* sample_text.c: a few documents of the text that the shipped model learned from (data/sample.txt), one of each kind and more. A live model is run on
 * them once, so that an opened expert can say which tokens it typically receives. */
#include "viz/source.h"

const char *const sample_documents[] = {
    "enum { black = 55 };\n"
    "int take_lamp(int eggs) {\n"
    "    return eggs * black - 86;\n"
    "}",
    "Finn had 52 eggs in the park and gave 38 to Paul. Now Finn has 52 - 38 = 14 in the park.",
    "Little Tim, little Tim, where is the red ring?\n"
    "Little Tim and the red ring, little Tim and the red ring, little Tim and a wild bear.\n"
    "Little Tim, old Lily and little Tim, old Lily, little Tim and the red ring.",
    "Little Nora, old Emil and little Nora, old Emil, little Nora and the black shoe.\n"
    "2 nuts, 2 nuts, who ate 2 nuts? Little Nora, little Nora and a wild pig.\n"
    "The wild pig, the wild pig, give little Nora the black shoe.",
    "int take_horn(int bag, int plums) {\n"
    "    if (21 < bag) {\n"
    "        return bag - plums;\n"
    "    }\n"
    "    return plums + 40;\n"
    "}",
    "name | thing | number | price\n"
    "Lily | yellow horn | 9 x 10 coins | 90 coins\n"
    "Lily | purple ring | 7 x 8 coins | 56 coins\n"
    "Otto | black bag | 4 x 10 coins | 40 coins",
    "Otto: Will you sell me your brown pot for 12 apples, Max?\n"
    "Max: You can have the brown pot for 18 apples, Otto.\n"
    "Otto: But a wild fox sat on the brown pot, Max, so it is big.\n"
    "Max: Then take the brown pot and the wild fox too, Otto.\n"
    "Otto: What does the brown pot eat, Max, honey or apples?",
    "Emma keeps a blue robot for 3 days, from Wednesday, 2 November, to Saturday, 5 November. Finn was in the barn on Saturday, 5 November, and came "
    "home 2 days later, on Monday, 7 November. Emma keeps the blue robot for 2 days, from Monday, 7 November, to Wednesday, 9 November.",
    "int count_pears(int horn, int plums) {\n"
    "    int yellow = plums;\n"
    "    while (24 < yellow) {\n"
    "        yellow -= 25;\n"
    "    }\n"
    "    return yellow + horn;\n"
    "}",
    "Tom: Rosa, I painted the black coat with snow!\n"
    "Rosa: The black coat smells like snow, Tom.\n"
    "Tom: A wild bear wanted snow on the black coat, Rosa.\n"
    "Rosa: Then give the black coat to the wild bear, Tom.\n"
    "Tom: Do not sit on the black coat, Rosa, the snow is wet!",
    "Max: What do we take for the trip in the tower, Lily, the gold horn or jam?\n"
    "Lily: I will take jam, Max, and you take the gold horn.\n"
    "Max: Lily, we need 6 more roses for the gold horn.\n"
    "Lily: Put the gold horn under a wild hen, Max, it is soft.\n"
    "Max: The gold horn and I go in the tower, Lily, and you find jam.\n"
    "Lily: Then the gold horn comes with me, Max, and you get the wild hen.",
    "Little Ana and old Lena shared a yellow book in the forest. Little Ana said loudly to old Lena that the yellow book was not for butter. One "
    "night the yellow book was gone, and little Ana looked for it in the forest. Old Lena looked for the yellow book in the forest, but she found "
    "only 3 eggs. A wild goat came to little Ana happily with the yellow book in a box. Old Lena tied the yellow book to her bed, so it was never "
    "lost in the forest again.",
    "Nina sold 2 pears near the hill for 8 coins each. So Nina got 2 x 8 = 16 coins for jam.",
    "Once little Otto bought a white flute from a wild fox for his last glue. Old Hugo asked to hold the white flute, and little Otto said yes, for "
    "8 nuts. At night little Otto heard a voice in his white flute and ran to old Hugo behind the school. Old Hugo shook the white flute proudly, "
    "and 8 nuts fell on him. Then the wild fox looked out of the white flute and asked old Hugo for glue. Old Hugo tied the white flute to his bed, "
    "so it was never lost behind the school again.",
    "name | thing | number | price\n"
    "Omar | black spoon | 1 x 8 coins | 8 coins\n"
    "Ana | grey bag | 1 x 2 coins | 2 coins\n"
    "Rosa | pink cake | 3 x 4 coins | 12 coins\n"
    "Emil | grey mask | 5 x 1 coins | 5 coins",
    "Tim paid 74 coins for a yellow lamp and 91 for cheese. That was 74 + 91 = 165 coins for Tim.",
    "Emma: Paul, I need your yellow chair for a wild goat.\n"
    "Paul: My yellow chair is for butter only, Emma, not for eggs.\n"
    "Emma: But the wild goat sat on the yellow chair, Paul, so it is fast.\n"
    "Paul: Emma, I ask 9 eggs and a song for the yellow chair.\n"
    "Emma: What does the yellow chair eat, Paul, butter or eggs?",
    "Vera: Nora, I need your silver book for a wild horse.\n"
    "Nora: My silver book is for butter only, Vera, not for seeds.\n"
    "Vera: I have 20 seeds and some butter for the silver book, Nora.\n"
    "Nora: Wait, Vera, the silver book wants to stay by the river!",
};
const size_t sample_document_count = sizeof sample_documents / sizeof *sample_documents;
