// What page.js and Plotly's own script put into the window.
interface Window {
  fuataOpen: (tab: string) => void;
  fuataAskedTab: () => string;
  fuataWriteTab: (tab: string) => void;
  fuataWatchAddress: (navigate: () => void) => void;
  fuataTell: (failure: { error?: string; duration?: number }, askedAt?: number) => void;
  Plotly?: {
    react: (place: HTMLElement, data: object[], layout: object, options: object) => void;
  };
}
